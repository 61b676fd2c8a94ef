//! The greeter at work on real plugins, by itself and under valgrind.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use pintle_test_support::{compile_c, install, samples};

/// Stands in for sysmon, so that `threshold` has something to watch: it alone may publish below `plugin.sysmon.`.
const LOADED: &str = r#"
#include <pintle/plugin.h>
PINTLE_MANIFEST({
  "id": "sysmon", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["greet.>"], "publish": ["cpu"] } }
});
static const pintle_host *host;
static pintle_status on_greet(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  static const char busy[] = "{\"busy\":99.5}", idle[] = "{\"busy\":1}";
  (void)user, (void)event, (void)reply;
  host->events->emit(ctx, PINTLE_STR("cpu"), pintle_bytesn(busy, sizeof busy - 1), NULL);
  return host->events->emit(ctx, PINTLE_STR("cpu"), pintle_bytesn(idle, sizeof idle - 1), NULL);
}
static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  return host->events->subscribe(ctx, PINTLE_STR("greet.>"), on_greet, NULL, NULL, NULL, NULL);
}
static const pintle_plugin plugin = {
  .size = sizeof plugin, .abi_minor = PINTLE_ABI_MINOR, .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("sysmon"), .version = PINTLE_STR_INIT("0.1.0"), .load = load,
};
PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
"#;

/// Runs the greeter on a folder with these plugins, behind the words of another command.
fn greet(before: &[&str], plugins: &[&Path]) -> Output {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    for plugin in plugins {
        install(plugin, folder.path());
    }
    let greeter = env!("CARGO_BIN_EXE_greeter");
    let words: Vec<&str> = before.iter().copied().chain([greeter]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(folder.path()).args(["ann", "bob"]);
    command.output().expect("the greeter can be started")
}

fn c_plugins() -> [std::path::PathBuf; 3] {
    [samples().c("hello"), samples().c("threshold"), compile_c("sysmon", LOADED, &[])]
}

#[test]
fn the_greeter_greets_and_ends_well() {
    let [hello, threshold, sysmon] = c_plugins();
    let rust = samples().rust("hello");
    let output = greet(&[], &[&hello, &threshold, &sysmon, &rust]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "plugin.hello.greeted for \"acme\": {\"name\":\"ann\"}",
        "plugin.hello-rust.greeted for \"acme\": {\"text\":\"Hello, bob!\"}",
        "hello 0.1.0 Enabled: 2 handled",
        "threshold 0.1.0 Enabled: 4 handled",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} is missing in:\n{told}");
    }
    for state in ["raised", "cleared"] {
        assert_eq!(told.matches(&format!("\"state\":\"{state}\"")).count(), 2, "{told}");
    }
}

#[test]
fn a_plugin_that_fails_makes_the_greeter_fail_after_the_others_have_greeted() {
    let broken = compile_c(
        "hello-broken",
        "#include <pintle/plugin.h>\nPINTLE_MANIFEST({ \"id\": \"hello-broken\", \"version\": \"0.1.0\", \"abi\": \"1.0\" });\nPINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return pintle_manifest_record.length ? NULL : NULL; }\n",
        &[],
    );
    let output = greet(&[], &[&samples().c("hello"), &broken]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("plugin.hello.greeted for \"acme\": {\"name\":\"bob\"}"), "{told}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("greeter: plugin \"hello-broken\": its entry returned null"), "{errors}");
}

/// A whole life cycle under valgrind: no error, no definite leak. `cargo xtask valgrind` shows what it says.
#[test]
fn valgrind_finds_neither_an_error_nor_a_leak_with_c_plugins() {
    let [hello, threshold, sysmon] = c_plugins();
    under_valgrind(&[&hello, &threshold, &sysmon]);
}

#[test]
fn valgrind_finds_neither_an_error_nor_a_leak_with_a_rust_plugin() {
    under_valgrind(&[&samples().rust("hello"), &samples().c("hello")]);
}

fn under_valgrind(plugins: &[&Path]) {
    let there =
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        // Not eprintln: the test runner would swallow it.
        let _ = std::io::stderr()
            .write_all(b"SKIPPED: valgrind is not there, so nobody looked for errors and leaks\n");
        return;
    }
    let output = greet(
        &[
            "valgrind",
            "--error-exitcode=99",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
            "--show-leak-kinds=definite",
        ],
        plugins,
    );
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Shown with --nocapture, which is how `cargo xtask valgrind` calls it.
    println!("{told}");
    errors.lines().filter(|line| line.starts_with("==")).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "{}\n{told}\n{errors}", output.status);
    assert!(errors.contains("ERROR SUMMARY: 0 errors from 0 contexts"), "{errors}");
}
