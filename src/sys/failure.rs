//! What the system's errors are called in Lua: LuaSocket's words where it has one, else the system's own.

use std::borrow::Cow;
use std::ffi::CStr;
use std::io;

/// The word for an error, as `socket_strerror` of LuaSocket 3.1 chooses it.
pub(crate) fn word(error: &io::Error) -> Cow<'static, str> {
    let Some(code) = error.raw_os_error() else {
        return Cow::Owned(error.to_string());
    };
    Cow::Borrowed(match code {
        libc::EADDRINUSE => "address already in use",
        libc::EISCONN => "already connected",
        libc::EACCES => "permission denied",
        libc::ECONNREFUSED => "connection refused",
        libc::ECONNABORTED | libc::ECONNRESET | libc::EPIPE => "closed",
        libc::ETIMEDOUT => "timeout",
        libc::EMFILE | libc::ENFILE => "too many open files",
        _ => return Cow::Owned(system_word(code)),
    })
}

/// What the system itself calls an error.
fn system_word(code: i32) -> String {
    let mut buffer = [0_u8; 128];
    // SAFETY: the buffer is as long as it says; the call ends what it writes with a zero byte.
    let status = unsafe { libc::strerror_r(code, buffer.as_mut_ptr().cast(), buffer.len()) };
    match CStr::from_bytes_until_nul(&buffer) {
        Ok(text) if status == 0 => text.to_string_lossy().into_owned(),
        _ => format!("error {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_as_luasocket_does() {
        let words = [
            libc::ECONNREFUSED,
            libc::ECONNRESET,
            libc::EMFILE,
            libc::EBADF,
        ]
        .map(|code| word(&io::Error::from_raw_os_error(code)));
        assert_eq!(
            words,
            [
                "connection refused",
                "closed",
                "too many open files",
                "Bad file descriptor"
            ]
        );
    }
}
