//! The thread of the scheduler, seen from outside. A process of its own, because threads are counted.

use std::{
    fs,
    time::{Duration, Instant},
};

use pintle::{Host, Settings};
use pintle_test_support::{compile_c, install, repository};

/// What `/proc` says of each thread of the scheduler: how often it went to sleep.
fn timers() -> Vec<u64> {
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    let status = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    status
        .filter(|status| status.lines().next().is_some_and(|name| name.ends_with("pintle-timer")))
        .map(|status| {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
            let count = line.and_then(|line| line.split_whitespace().last()).expect("each thread has it");
            count.parse().expect("it is a number")
        })
        .collect()
}

#[test]
fn scheduler_18_one_thread_serves_all_jobs_and_sleeps_while_nothing_is_due() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let plugins = folder.path().join("plugins");
    fs::create_dir(&plugins).expect("the folder is ours");
    let source = repository().join("tests/plugins/witness.c");
    let mut script = String::new();
    for number in 0..300 {
        script += &format!("interval i{number} 3600000; cron c{number} 0 0 1 1 *; once o{number} 3600000;");
    }
    let mut toml = String::new();
    for name in ["witness", "second"] {
        install(&compile_c(name, source.clone(), &[&format!("-DNAME={name}")]), &plugins);
        let journal = folder.path().join(name);
        toml += &format!("[plugin.{name}]\nconfig = {{ journal = {journal:?}, load = 'subscribe w.>' }}\n");
    }
    let mut settings = Settings::from_text(&toml, folder.path()).expect("valid");
    settings.plugins = vec![plugins];
    let host = Host::builder().settings(settings).build().expect("the host can be made");
    assert_eq!(host.start().enabled.len(), 2);
    for name in ["witness", "second"] {
        let answer =
            host.call("", &format!("{name}.run"), 1, "do", script.as_bytes(), None).expect("answered");
        assert!(String::from_utf8_lossy(&answer).lines().all(|line| line.ends_with(" = 0")));
    }
    assert_eq!(host.jobs().len(), 1_800);
    assert_eq!(timers().len(), 1, "one thread for all of them");
    // It has seen the last of them when it has slept twice at the same count.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let before = timers();
        std::thread::sleep(Duration::from_millis(300));
        if timers() == before {
            break;
        }
        assert!(Instant::now() < deadline, "it does not sleep: nothing is due within the hour");
    }
    assert!(host.stop().left.is_empty());
}
