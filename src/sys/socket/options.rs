//! The options of sockets: most are numbers under a level and a name.

use super::Socket;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::raw::c_int;
use std::time::Duration;

/// An option that is a number, or on or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Knob {
    /// The protocol that it belongs to.
    level: c_int,
    /// Its number there.
    name: c_int,
}

/// An option with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Setting {
    /// A number, or on or off.
    Number(Knob, i32),
    /// How many seconds `close` goes on sending; none: as the system likes.
    Linger(Option<u16>),
    /// The name of the network device to be used alone.
    Device(Vec<u8>),
    /// Where multicasts go out.
    Interface(Ipv4Addr),
    /// Whether multicasts to a group come in by an interface.
    Member4(Ipv4Addr, Ipv4Addr, bool),
    /// The same for IPv6, the interface by its number.
    Member6(Ipv6Addr, u32, bool),
}

/// Describes an option that is a number.
macro_rules! knob {
    ($constant:ident, $level:ident, $name:ident) => {
        /// The option of that name.
        pub(crate) const $constant: Knob = Knob {
            level: libc::$level,
            name: libc::$name,
        };
    };
}

impl Knob {
    knob!(BROADCAST, SOL_SOCKET, SO_BROADCAST);
    knob!(DEFER_ACCEPT, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    knob!(DONT_ROUTE, SOL_SOCKET, SO_DONTROUTE);
    knob!(FAST_OPEN, IPPROTO_TCP, TCP_FASTOPEN);
    knob!(FAST_OPEN_CONNECT, IPPROTO_TCP, TCP_FASTOPEN_CONNECT);
    knob!(KEEP_ALIVE, SOL_SOCKET, SO_KEEPALIVE);
    knob!(KEEP_COUNT, IPPROTO_TCP, TCP_KEEPCNT);
    knob!(KEEP_IDLE, IPPROTO_TCP, TCP_KEEPIDLE);
    knob!(KEEP_INTERVAL, IPPROTO_TCP, TCP_KEEPINTVL);
    knob!(MULTICAST_HOPS6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS);
    knob!(MULTICAST_LOOP4, IPPROTO_IP, IP_MULTICAST_LOOP);
    knob!(MULTICAST_LOOP6, IPPROTO_IPV6, IPV6_MULTICAST_LOOP);
    knob!(MULTICAST_TTL4, IPPROTO_IP, IP_MULTICAST_TTL);
    knob!(NO_DELAY, IPPROTO_TCP, TCP_NODELAY);
    knob!(ONLY_V6, IPPROTO_IPV6, IPV6_V6ONLY);
    knob!(RECEIVE_BUFFER, SOL_SOCKET, SO_RCVBUF);
    knob!(REUSE_ADDRESS, SOL_SOCKET, SO_REUSEADDR);
    knob!(REUSE_PORT, SOL_SOCKET, SO_REUSEPORT);
    knob!(SEND_BUFFER, SOL_SOCKET, SO_SNDBUF);
    knob!(UNICAST_HOPS6, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
}

impl Socket {
    /// Sets an option.
    pub(crate) fn set(&self, setting: &Setting) -> io::Result<()> {
        match setting {
            Setting::Number(knob, value) => self.set_number(*knob, *value),
            Setting::Linger(seconds) => {
                let time = seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
                self.0.set_linger(time)
            }
            Setting::Device(name) => self.0.bind_device(
                Some(name)
                    .filter(|name| !name.is_empty())
                    .map(Vec::as_slice),
            ),
            Setting::Interface(address) => self.0.set_multicast_if_v4(address),
            Setting::Member4(group, interface, true) => self.0.join_multicast_v4(group, interface),
            Setting::Member4(group, interface, false) => {
                self.0.leave_multicast_v4(group, interface)
            }
            Setting::Member6(group, interface, true) => self.0.join_multicast_v6(group, *interface),
            Setting::Member6(group, interface, false) => {
                self.0.leave_multicast_v6(group, *interface)
            }
        }
    }

    /// Sets a number.
    fn set_number(&self, knob: Knob, value: c_int) -> io::Result<()> {
        // SAFETY: the value is valid for reading its size.
        let status = unsafe {
            libc::setsockopt(
                self.fd(),
                knob.level,
                knob.name,
                (&raw const value).cast(),
                size_of::<c_int>() as libc::socklen_t,
            )
        };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Asks for a number.
    pub(crate) fn number(&self, knob: Knob) -> io::Result<i32> {
        let (mut value, mut len) = (0 as c_int, size_of::<c_int>() as libc::socklen_t);
        // SAFETY: the value is valid for writing as many bytes as is said.
        let status = unsafe {
            libc::getsockopt(
                self.fd(),
                knob.level,
                knob.name,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(value)
        }
    }

    /// How many seconds `close` goes on sending, where that is set.
    pub(crate) fn linger(&self) -> io::Result<Option<u64>> {
        Ok(self.0.linger()?.map(|time| time.as_secs()))
    }

    /// The name of the network device that alone is used, or nothing.
    pub(crate) fn device(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.device()?.unwrap_or_default())
    }

    /// Where multicasts go out.
    pub(crate) fn interface(&self) -> io::Result<Ipv4Addr> {
        self.0.multicast_if_v4()
    }
}
