//! What the public surface cannot show without waiting long: deadlines, pages that hang or panic, an end that is waited for.

use std::sync::{
    Condvar, Mutex as StdMutex,
    atomic::{AtomicU32, Ordering},
};

use super::*;

const SHORT: Patience = Patience { step: Duration::from_millis(150) };
const LONG: Duration = Duration::from_secs(20);

fn serve(patience: Patience, page: impl Fn() -> String + Send + Sync + 'static) -> Listener {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Bound::new(any).and_then(|bound| bound.serve(patience, page)).expect("there is a free port")
}

fn connect(listener: &Listener) -> TcpStream {
    let stream = TcpStream::connect(listener.address()).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a socket has one");
    stream
}

fn ask(listener: &Listener) -> TcpStream {
    let mut stream = connect(listener);
    let host = listener.address();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("it reads");
    stream
}

/// What is answered, to its end.
fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers in time");
    text
}

fn end(listener: &Listener) {
    assert!(listener.stop(Instant::now() + LONG), "the thread ends");
    assert!(listener.stop(Instant::now()), "the second time there is nothing to do");
}

#[test]
fn a_request_that_does_not_come_in_time_is_answered_408() {
    let listener = serve(SHORT, || "page\n".into());
    let mut begun = connect(&listener);
    begun.write_all(b"GET /met").expect("it reads");
    for slow in [connect(&listener), begun] {
        assert!(answer(slow).starts_with("HTTP/1.1 408 "));
    }
    assert!(answer(ask(&listener)).ends_with("\r\n\r\npage\n"));
    end(&listener);
}

#[test]
fn a_page_that_hangs_is_503_and_nobody_waits_for_it_longer_than_the_deadline() {
    let gate = Arc::new((StdMutex::new(false), Condvar::new()));
    let inside = gate.clone();
    let listener = serve(SHORT, move || {
        let open = inside.0.lock().expect("nobody panics");
        drop(inside.1.wait_while(open, |open| !*open).expect("nobody panics"));
        "page\n".into()
    });
    for asked in [ask(&listener), ask(&listener)] {
        let text = answer(asked);
        assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("a disk of it may hang\n"), "{text}");
    }
    *gate.0.lock().expect("nobody panics") = true;
    gate.1.notify_all();
    // The one that hung was begun before this was asked: it is not given out any more.
    while !answer(ask(&listener)).starts_with("HTTP/1.1 200 ") {}
    end(&listener);
}

#[test]
fn a_listener_ends_while_a_page_hangs_and_while_clients_are_silent() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = StdMutex::new(held);
    let listener = serve(Patience { step: LONG }, move || {
        let _ = held.lock().expect("nobody panics").recv();
        String::new()
    });
    let clients: Vec<_> = (0..20).map(|_| connect(&listener)).chain([ask(&listener)]).collect();
    end(&listener);
    drop((clients, let_go));
}

#[test]
fn a_page_that_panics_is_503_and_the_next_one_is_given_out() {
    let times = AtomicU32::new(0);
    let listener = serve(Patience { step: LONG }, move || match times.fetch_add(1, Ordering::Relaxed) {
        0 => std::panic::resume_unwind(Box::new("quietly")),
        _ => "page\n".into(),
    });
    assert!(answer(ask(&listener)).starts_with("HTTP/1.1 503 "));
    assert!(answer(ask(&listener)).starts_with("HTTP/1.1 200 "));
    end(&listener);
}

#[test]
fn who_asks_is_told_what_happened_until_then() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let listener = serve(Patience { step: LONG }, move || counted.load(Ordering::SeqCst).to_string());
    let listener = &listener;
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..20 {
                    let mine = count.fetch_add(1, Ordering::SeqCst) + 1;
                    let text = answer(ask(listener));
                    let told = text.rsplit("\r\n\r\n").next().and_then(|told| told.parse().ok());
                    assert!(told.is_some_and(|told: u32| told >= mine), "{mine}: {text}");
                }
            });
        }
    });
    end(listener);
}

#[test]
fn who_does_not_take_his_answer_keeps_nobody_from_theirs_and_is_let_go() {
    let large = "x".repeat(32 << 20);
    let listener = serve(SHORT, move || large.clone());
    let mut lazy: Vec<_> = (0..5).map(|_| ask(&listener)).collect();
    // It has begun to answer them all.
    for stream in &mut lazy {
        stream.read_exact(&mut [0; 1]).expect("it answers");
    }
    assert_eq!(
        answer(connect_for_front(&listener)).lines().last(),
        Some("a Pintle host: its metrics are at /metrics")
    );
    // Their deadline began before their first byte came.
    thread::sleep(SHORT.step);
    for mut stream in lazy {
        let mut taken = 0;
        let mut bytes = vec![0; 1 << 20];
        while let Ok(more @ 1..) = stream.read(&mut bytes) {
            taken += more;
        }
        assert!(taken < 32 << 20, "it was let go before it had all");
    }
    end(&listener);
}

fn connect_for_front(listener: &Listener) -> TcpStream {
    let mut stream = connect(listener);
    let host = listener.address();
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("it reads");
    stream
}

#[test]
fn an_address_that_cannot_be_had_is_refused_with_the_reason() {
    let listener = serve(SHORT, String::new);
    let taken = listener.address();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 9464));
    for (address, kind, text) in [
        (
            taken,
            ErrorKind::Conflict,
            format!("metrics.listen: {taken} is in use: take another port (0: any that is free), or end the program that has it"),
        ),
        (
            everywhere,
            ErrorKind::InvalidArgument,
            "metrics.listen: 0.0.0.0:9464 can be reached from other machines: take a loopback address, as 127.0.0.1:9464".into(),
        ),
    ] {
        let error = Bound::new(address).err().expect("it cannot be had");
        assert_eq!((error.kind(), error.to_string()), (kind, text));
    }
    end(&listener);
}
