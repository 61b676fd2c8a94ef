//! Patterns and keys of any bytes: parsing never panics, matching keeps to its bound, and short ones match as the naive
//! matcher says. The pattern ends at the first NUL, and the rest is the key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pintle::fuzz_parts::Glob;

/// So long that the naive matcher, which tries everything, is still quick.
const SHORT: usize = 12;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (pattern, rest) = data.split_at(end);
    let key = rest.get(1..).unwrap_or_default();
    let glob = match Glob::parse(pattern) {
        Ok(glob) => glob,
        Err(error) => {
            let told = error.to_string();
            assert!(told.starts_with("argument `pattern`: "), "{told}");
            return;
        }
    };
    let pattern = str::from_utf8(pattern).expect("a pattern is UTF-8");
    assert!((1..=512).contains(&pattern.len()) && !pattern.contains('\0'), "{pattern:?} is taken");
    let Ok(key) = str::from_utf8(key) else { return };
    let (matches, steps) = glob.matches_counted(key);
    assert!(steps <= pattern.len() * key.len(), "{pattern:?} on {key:?} took {steps} steps");
    assert!(!matches || key.starts_with(glob.literal_prefix()), "{pattern:?} on {key:?}");
    if pattern.len() <= SHORT && key.len() <= SHORT {
        assert_eq!(matches, Glob::matches_plainly(pattern, key), "{pattern:?} on {key:?}");
    }
});
