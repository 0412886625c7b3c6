//! What the system knows of hosts: the inquiries of LuaSocket's `dns`. Blocks: call it off the loop thread.

use super::failure;
use super::names::{Answer, Question, look_up, v4_of, word};
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::io;
use std::net::Ipv4Addr;
use std::os::raw::{c_char, c_int};
use std::ptr;

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Inquiry {
    /// The addresses of a host and a service.
    Addresses(Question),
    /// All about the host with this name or IPv4 address.
    Host(String),
    /// The names of a host's addresses, and of a service.
    Names(Option<String>, Option<String>),
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// The addresses.
    Addresses(Answer),
    /// Names and addresses, each behind a letter that says what it is, or the reason why there are none.
    Facts(Result<Vec<String>, Cow<'static, str>>),
}

impl Inquiry {
    /// Asks the system.
    pub(crate) fn settle(&self) -> Finding {
        match self {
            Inquiry::Addresses(question) => Finding::Addresses(question.resolve()),
            Inquiry::Host(host) => Finding::Facts(host_facts(host)),
            Inquiry::Names(host, service) => {
                Finding::Facts(names_of(host.as_deref(), service.as_deref()))
            }
        }
    }
}

/// The name of this host.
pub(crate) fn own_name() -> Result<String, Cow<'static, str>> {
    let mut name = [0_u8; 257];
    // SAFETY: the buffer has room for a byte more than is said, and that one stays zero.
    let status = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    if status < 0 {
        return Err(failure::word(&io::Error::last_os_error()));
    }
    Ok(CStr::from_bytes_until_nul(&name).map_or_else(
        |_| String::new(),
        |name| name.to_string_lossy().into_owned(),
    ))
}

unsafe extern "C" {
    /// The system's `gethostbyname` with room of the caller's.
    fn gethostbyname_r(
        name: *const c_char,
        entry: *mut libc::hostent,
        room: *mut c_char,
        len: libc::size_t,
        result: *mut *mut libc::hostent,
        problem: *mut c_int,
    ) -> c_int;
    /// The system's `gethostbyaddr` with room of the caller's.
    fn gethostbyaddr_r(
        address: *const libc::c_void,
        address_len: libc::socklen_t,
        family: c_int,
        entry: *mut libc::hostent,
        room: *mut c_char,
        len: libc::size_t,
        result: *mut *mut libc::hostent,
        problem: *mut c_int,
    ) -> c_int;
}

/// Room for one entry of the hosts file and its like.
const FIRST_ROOM: usize = 1024;
/// No entry is larger.
const MOST_ROOM: usize = 1 << 20;

/// The name (`n`), aliases (`a`) and IPv4 addresses (`i`) of a host.
fn host_facts(host: &str) -> Result<Vec<String>, Cow<'static, str>> {
    let name = CString::new(host).map_err(|_| Cow::Borrowed("host not found"))?;
    let numeric = v4_of(host).map(|address| address.octets());
    let mut room = vec![0_u8; FIRST_ROOM];
    loop {
        // SAFETY: an entry of null pointers is one that the calls may fill.
        let mut entry: libc::hostent = unsafe { std::mem::zeroed() };
        let (mut result, mut problem) = (ptr::null_mut(), 0);
        // SAFETY: name and address are valid for reading, the entry, the room and both answers for writing.
        let status = unsafe {
            match &numeric {
                Some(octets) => gethostbyaddr_r(
                    octets.as_ptr().cast(),
                    4,
                    libc::AF_INET,
                    &raw mut entry,
                    room.as_mut_ptr().cast(),
                    room.len(),
                    &raw mut result,
                    &raw mut problem,
                ),
                None => gethostbyname_r(
                    name.as_ptr(),
                    &raw mut entry,
                    room.as_mut_ptr().cast(),
                    room.len(),
                    &raw mut result,
                    &raw mut problem,
                ),
            }
        };
        if status == libc::ERANGE && room.len() < MOST_ROOM {
            room.resize(room.len() * 4, 0);
            continue;
        }
        if status != 0 || result.is_null() {
            return Err(host_word(problem).into());
        }
        // SAFETY: the call has filled the entry, whose pointers lead into the room, which is still there.
        return Ok(unsafe { read_entry(&entry) });
    }
}

/// The facts of an entry.
///
/// # Safety
/// The pointers of the entry are valid, and its lists end with null, as the resolver leaves them.
unsafe fn read_entry(entry: &libc::hostent) -> Vec<String> {
    // SAFETY: the caller's promise; the addresses of IPv4 have four bytes.
    unsafe {
        let text = |letter: &str, text: *const c_char| {
            format!("{letter}{}", CStr::from_ptr(text).to_string_lossy())
        };
        let mut facts = vec![text("n", entry.h_name)];
        let mut alias = entry.h_aliases;
        while !alias.is_null() && !(*alias).is_null() {
            facts.push(text("a", *alias));
            alias = alias.add(1);
        }
        let mut address = entry.h_addr_list;
        while !address.is_null() && !(*address).is_null() {
            let octets = (*address).cast::<[u8; 4]>().read_unaligned();
            facts.push(format!("i{}", Ipv4Addr::from(octets)));
            address = address.add(1);
        }
        facts
    }
}

/// The word for a problem with a host, as `socket_hoststrerror` of LuaSocket chooses it.
fn host_word(problem: c_int) -> &'static str {
    match problem {
        1 => "host not found",
        2 => "Host name lookup failure",
        4 => "No address associated with name",
        _ => "Unknown server error",
    }
}

/// The name of each address of a host (`h`), and that of a service (`s`).
fn names_of(host: Option<&str>, service: Option<&str>) -> Result<Vec<String>, Cow<'static, str>> {
    /// Room for a host's name.
    const HOST_ROOM: usize = 1025;
    /// Room for the name of a service.
    const SERVICE_ROOM: usize = 32;
    // Here, no host is the loopback address: LuaSocket asks without the flag of those who bind.
    let addresses = look_up(host.unwrap_or("localhost"), service)?;
    let (mut names, mut last) = (Vec::new(), None);
    for address in addresses {
        let (mut name, mut port) = ([0_u8; HOST_ROOM], [0_u8; SERVICE_ROOM]);
        let room = |wanted: bool, len: usize| if wanted { len as libc::socklen_t } else { 0 };
        // SAFETY: address and buffers are valid for the lengths that are said.
        let status = unsafe {
            libc::getnameinfo(
                address.as_ptr().cast(),
                address.len(),
                name.as_mut_ptr().cast(),
                room(host.is_some(), HOST_ROOM),
                port.as_mut_ptr().cast(),
                room(service.is_some(), SERVICE_ROOM),
                0,
            )
        };
        if status != 0 {
            return Err(word(status));
        }
        let text = |bytes: &[u8]| {
            CStr::from_bytes_until_nul(bytes).map_or_else(
                |_| String::new(),
                |text| text.to_string_lossy().into_owned(),
            )
        };
        if host.is_some() {
            names.push(format!("h{}", text(&name)));
        }
        last = service.map(|_| format!("s{}", text(&port)));
    }
    names.extend(last);
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_loopback_address_by_name() {
        let Finding::Facts(Ok(facts)) = Inquiry::Host("localhost".into()).settle() else {
            panic!("localhost is unknown");
        };
        assert!(facts.contains(&"i127.0.0.1".into()));
    }

    #[test]
    fn a_name_that_nobody_has_is_not_found() {
        let finding = Inquiry::Host("no such name".into()).settle();
        assert_eq!(finding, Finding::Facts(Err("host not found".into())));
    }
}
