//! Very many, very few, and the ends of each scale.

use std::{
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
};

use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    process::{Resource, Rlimit, setrlimit},
};

use crate::{kinds::resting, roles::ready_then_rest};

/// Parts that differ in how much they have or may have.
pub(crate) fn play(name: &str, argument: &str) -> bool {
    match name {
        "fds-of-each-kind" => {
            let _open: Vec<_> = (0..argument.parse().unwrap())
                .map(|_| each_kind())
                .collect();
            ready_then_rest("");
        }
        "sockets-of-each-kind" => sockets_of_each_kind(argument),
        "nofile-both" => {
            let limit = Some(argument.parse().unwrap());
            let limit = Rlimit {
                current: limit,
                maximum: limit,
            };
            setrlimit(Resource::Nofile, limit).unwrap();
            ready_then_rest("");
        }
        _ => return false,
    }
    true
}

/// Ten descriptors.
fn each_kind() -> Vec<OwnedFd> {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let event = || eventfd(0, EventfdFlags::empty()).unwrap();
    let file = |path| OwnedFd::from(std::fs::File::open(path).unwrap());
    vec![
        reader,
        writer,
        here.into(),
        there.into(),
        event(),
        event(),
        epoll::create(epoll::CreateFlags::empty()).unwrap(),
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().into(),
        file("/dev/null"),
        file("/proc/self"),
    ]
}

/// One established connection over IPv6 by an address of IPv4; all others are no such thing.
fn sockets_of_each_kind(dir: &str) {
    let four = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // The kernel gives a connected datagram socket the same state.
    udp.connect(udp.local_addr().unwrap()).unwrap();
    let _udp_six = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let path = std::path::Path::new(dir).join("socket");
    let local = UnixListener::bind(&path).unwrap();
    // And a connected local one.
    let _connected = UnixStream::connect(&path).unwrap();
    let _accepted = local.accept().unwrap();
    // Through the socket of IPv6, that of an address of IPv4.
    let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = both.local_addr().unwrap().port();
    let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _server = both.accept().unwrap();
    drop(four);
    ready_then_rest("");
}

#[test]
fn a_process_of_a_thousand_threads() {
    let (fixture, row) = resting("threads:1000");
    assert_eq!(row.threads, Some(1001));
    fixture.finish();
}

#[test]
fn a_process_of_a_thousand_descriptors_of_all_kinds() {
    let (fixture, row) = resting("fds-of-each-kind:100");
    assert!(row.fd_count.unwrap() >= 1003);
    assert_eq!(row.net_established, Some(0));
    fixture.finish();
}

#[test]
fn sockets_that_are_connected_but_no_established_connections() {
    let dir = tempfile::tempdir().unwrap();
    let role = format!("sockets-of-each-kind:{}", dir.path().display());
    let (fixture, row) = resting(&role);
    assert_eq!(row.net_established, Some(2));
    fixture.finish();
}

#[test]
fn the_lowest_limit_of_descriptors_below_what_is_open() {
    let (fixture, row) = resting("nofile-both:1");
    assert_eq!(row.fd_soft_limit, Some(1));
    assert!(row.fd_count.unwrap() >= 3);
    fixture.finish();
}

#[test]
fn a_limit_of_descriptors_as_high_as_it_may_be_raised() {
    let most = rustix::process::getrlimit(Resource::Nofile)
        .maximum
        .unwrap();
    let (fixture, row) = resting(&format!("nofile-both:{most}"));
    assert_eq!(row.fd_soft_limit, Some(most.cast_signed()));
    fixture.finish();
}

#[test]
fn a_process_that_is_the_first_killed_for_memory() {
    let (fixture, row) = resting("oom-adj:1000");
    assert_eq!(row.oom_score_adj, Some(1000));
    assert!(row.oom_score.unwrap() >= 1000);
    fixture.finish();
}
