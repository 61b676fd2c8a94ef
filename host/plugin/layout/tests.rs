//! What is a difference and what is none, with small contracts; `tests/layout` has libraries and the real one.

use super::*;

/// A contract: one table, one options struct, one frozen type, one handler.
macro_rules! contract {
    ($name:ident: text { $($text:tt)* } options { $($options:tt)* } table { $($table:tt)* } release ( $($release:tt)* )) => {
        #[allow(dead_code, missing_docs, unreachable_pub)]
        #[allow(unsafe_code, reason = "abi_stable derives accessors that nobody calls")]
        mod $name {
            use abi_stable::StableAbi;
            use pintle_abi::layout_by_size;

            #[repr(C)]
            #[derive(StableAbi)]
            pub struct Text { pub ptr: *const u8, $($text)* }

            #[repr(C)]
            #[derive(StableAbi)]
            #[sabi(kind(Prefix))]
            pub struct Options { #[sabi(last_prefix_field)] pub size: u32, $($options)* }

            #[repr(C)]
            #[derive(StableAbi)]
            #[sabi(kind(Prefix))]
            pub struct Table { #[sabi(last_prefix_field)] pub size: u32, $($table)* }

            #[repr(transparent)]
            #[derive(StableAbi)]
            pub struct Release(pub Option<extern "C" fn($($release)*)>);

            layout_by_size! { Options => Options_Prefix, Table => Table_Prefix }

            #[repr(C)]
            #[derive(StableAbi)]
            pub struct Contract { pub table: *const Table, pub release: Release }

            pub fn layout() -> &'static super::Layout { Contract::LAYOUT }
        }
    };
}

contract! { usual:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { grown:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64, pub later: u64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>,
        pub later: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { field_renamed:
    text { pub len: usize }
    options { pub most: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { fields_swapped:
    text { pub len: usize }
    options { pub wait: u32, pub limit: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { field_retyped_to_another_size:
    text { pub len: usize }
    options { pub limit: u64, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { field_gone_from_the_middle:
    text { pub len: usize }
    options { pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { parameter_retyped:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *mut Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { parameters_swapped:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(key: u64, ctx: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { parameter_more_where_nothing_is_returned:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64, why: u32)>
    }
    release(user: *mut u8)
}

contract! { result_retyped:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i64>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { handler_retyped:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u16)
}

contract! { frozen_grown:
    text { pub len: usize, pub hash: u64 }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { grown_and_renamed:
    text { pub len: usize }
    options { pub most: u32, pub wait: i64, pub later: u64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>,
        pub later: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

contract! { grown_elsewhere:
    text { pub len: usize }
    options { pub limit: u32, pub wait: i64 }
    table {
        pub flags: u32,
        pub set: Option<extern "C" fn(ctx: u64, key: Text, options: *const Options) -> i32>,
        pub end: Option<extern "C" fn(ctx: u64)>,
        pub later: Option<extern "C" fn(ctx: u64)>,
        pub latest: Option<extern "C" fn(ctx: u64)>
    }
    release(user: *mut u8)
}

#[test]
fn contract_90_growth_at_the_end_is_no_difference_whichever_side_is_the_older() {
    for (host, plugin) in [
        (usual::layout(), usual::layout()),
        (usual::layout(), grown::layout()),
        (grown::layout(), usual::layout()),
        (grown_elsewhere::layout(), usual::layout()),
    ] {
        assert_eq!(differences(host, plugin), Ok(()));
    }
}

#[test]
fn contract_90_a_difference_is_told_by_type_and_field_in_both_directions() {
    // What the plugin was built against; what a host of the usual contract says; what such a host says of the usual one.
    let cases = [
        (
            field_renamed::layout(),
            "field `limit` of `Options` is called `most` in the plugin",
            "field `most` of `Options` is called `limit` in the plugin",
        ),
        (
            fields_swapped::layout(),
            "field `limit` of `Options` is called `wait` in the plugin, and 1 more like it",
            "field `wait` of `Options` is called `limit` in the plugin, and 1 more like it",
        ),
        (
            field_retyped_to_another_size::layout(),
            "field `limit` of `Options` is `u32` here and `u64` in the plugin",
            "field `limit` of `Options` is `u64` here and `u32` in the plugin",
        ),
        (
            field_gone_from_the_middle::layout(),
            "field `limit` of `Options` is called `wait` in the plugin",
            "field `wait` of `Options` is called `limit` in the plugin",
        ),
        (
            parameter_retyped::layout(),
            "parameter `options` of `Table.set` is `*const Options` here and `*mut Options` in the plugin",
            "parameter `options` of `Table.set` is `*mut Options` here and `*const Options` in the plugin",
        ),
        (
            parameters_swapped::layout(),
            "parameter `ctx` of `Table.set` is called `key` in the plugin",
            "parameter `key` of `Table.set` is called `ctx` in the plugin",
        ),
        (
            parameter_more_where_nothing_is_returned::layout(),
            "parameter `why` of `Table.end` is missing here",
            "parameter `why` of `Table.end` is missing in the plugin",
        ),
        (
            result_retyped::layout(),
            "the result of `Table.set` is `i32` here and `i64` in the plugin",
            "the result of `Table.set` is `i64` here and `i32` in the plugin",
        ),
        (
            handler_retyped::layout(),
            "parameter `user` of `Release` is `*mut u8` here and `*mut u16` in the plugin",
            "parameter `user` of `Release` is `*mut u16` here and `*mut u8` in the plugin",
        ),
        (
            frozen_grown::layout(),
            "field `hash` of `Text` is missing here",
            "field `hash` of `Text` is missing in the plugin",
        ),
        (
            grown_and_renamed::layout(),
            "field `limit` of `Options` is called `most` in the plugin",
            "field `most` of `Options` is called `limit` in the plugin",
        ),
    ];
    for (other, to_the_usual, to_the_other) in cases {
        assert_eq!(differences(usual::layout(), other), Err(to_the_usual.to_owned()));
        assert_eq!(differences(other, usual::layout()), Err(to_the_other.to_owned()));
    }
}

#[test]
fn contract_90_two_that_grew_apart_are_told_what_one_lacks() {
    assert_eq!(
        differences(grown::layout(), grown_elsewhere::layout()),
        Err("field `later` of `Options` is missing in the plugin".to_owned())
    );
    assert_eq!(
        differences(grown_elsewhere::layout(), grown::layout()),
        Err("field `latest` of `Table` is missing in the plugin".to_owned())
    );
}

#[test]
fn contract_90_every_type_of_the_contract_is_compared() {
    let mut lengths = BTreeMap::new();
    measure(contract(), &mut lengths);
    let header = include_str!("../../../cbindgen.toml");
    let listed = header.split_once("\n[export.rename]\n").expect("it renames").1;
    let types = listed.lines().filter_map(|line| Some(line.split_once(" = ")?.0));
    let integers = [
        "PintleCtx",
        "PintleStatus",
        "PintleRegistration",
        "PintleLogger",
        "PintleCacheLease",
        "PintleTransaction",
        "PintleDelivery",
        "PintleIdempotencyToken",
    ];
    let missing: Vec<&str> = types
        .filter(|name| name.starts_with("Pintle") && !lengths.contains_key(*name))
        .filter(|name| !integers.contains(name))
        .collect();
    assert!(missing.is_empty(), "not reached from `Contract`, so never compared: {missing:?}");
}

#[test]
fn contract_90_a_marker_of_another_version_is_not_read() {
    assert!(readable(&Marker::OWN).is_ok());
    let mut other = Marker { layout_size: 1, ..Marker::OWN };
    other.abi_stable[..7].copy_from_slice(b"0.12\n\xff\0");
    let warning = readable(&other).expect_err("it is another").to_string();
    let expected = "its contract was compared by sizes only: it is described by abi_stable 0.12\\n";
    assert!(warning.starts_with(expected), "{warning}");
    assert!(!warning.contains('\n'), "{warning}");
}
