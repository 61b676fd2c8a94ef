//! Turns on the primitives of the model in `host/lanes/sync.rs`.

fn main() {
    println!("cargo::rustc-cfg=pintle_model");
    println!("cargo::rerun-if-changed=build.rs");
}
