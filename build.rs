//! Generates the C header from `abi/` into `OUT_DIR` and tells when the checked-in one is stale.
//!
//! The source tree is changed only when `PINTLE_UPDATE_HEADERS=1` asks for it: a build script that writes into
//! it would fail `cargo package`. Where `abi/` is not there (a packaged crate) the checked-in header stands.

use std::{env, fs, path::Path};

/// In the order in which a reader should meet them.
const CONTRACT: [&str; 13] = [
    "lib",
    "status",
    "value",
    "log",
    "config",
    "cache",
    "events",
    "scheduler",
    "storage",
    "database",
    "idempotency",
    "files",
    "host",
];

fn main() {
    println!("cargo:rerun-if-env-changed=PINTLE_UPDATE_HEADERS");
    println!("cargo:rerun-if-changed=abi/src");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=include");
    // A host library that is itself unmapped would leave its thread-exit destructors behind: a crash.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&root);
    let contract = root.join("abi/src");
    if !contract.is_dir() {
        return;
    }
    let header = generate(root, &contract);
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("plugin.h");
    fs::write(&out, &header).expect("OUT_DIR can be written");
    println!("cargo:rustc-env=PINTLE_GENERATED_HEADER={}", out.display());

    let kept = root.join("include/pintle/plugin.h");
    if fs::read_to_string(&kept).is_ok_and(|text| text == header) {
        return;
    }
    if env::var_os("PINTLE_UPDATE_HEADERS").is_some() {
        fs::write(&kept, &header).expect("include/pintle can be written");
    } else {
        println!("cargo:warning=include/pintle/plugin.h is stale: run `cargo xtask header`");
    }
}

fn generate(root: &Path, contract: &Path) -> String {
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let part = |name: &str| {
        fs::read_to_string(root.join("include/parts").join(name))
            .expect("the parts of the header are readable")
    };
    config.after_includes = Some(part("plugin_top.h"));
    config.trailer = Some(part("plugin_bottom.h"));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in CONTRACT.iter().chain(["plugin"].iter()) {
        builder = builder.with_src(contract.join(file).with_extension("rs"));
    }
    let mut header = Vec::new();
    builder.generate().expect("abi/ is what cbindgen understands").write(&mut header);
    tidy_comments(&String::from_utf8(header).expect("cbindgen writes UTF-8"))
}

/// cbindgen opens every comment with a bare `/*` line: short ones become one line, long ones get their stars.
fn tidy_comments(header: &str) -> String {
    let mut tidy = String::with_capacity(header.len());
    let mut lines = header.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "/*" {
            tidy += line;
            tidy.push('\n');
            continue;
        }
        let indent = &line[..line.len() - 2];
        let text: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "*/")
            .map(|line| line.strip_prefix(indent).unwrap_or(line))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        for (at, line) in text.iter().enumerate() {
            tidy += indent;
            tidy += if at == 0 { "/* " } else { " * " };
            tidy += line;
            tidy.truncate(tidy.trim_end().len());
            tidy += if at + 1 == text.len() { " */\n" } else { "\n" };
        }
    }
    tidy
}
