//! What a pattern matches, in the fewest words and at any cost: the tests and the fuzzer hold [`Glob`](super::Glob) to it.
//! It goes by the text, and takes it for granted that it is a pattern.

/// Whether `pattern`, which is one, matches `key`.
pub(crate) fn matches(pattern: &str, key: &str) -> bool {
    let pattern = pattern.replace("\\/", "/");
    let pattern: Vec<Vec<char>> = pattern.split('/').map(|segment| segment.chars().collect()).collect();
    let key: Vec<Vec<char>> = key.split('/').map(|segment| segment.chars().collect()).collect();
    all(&pattern, &key)
}

fn all(pattern: &[Vec<char>], key: &[Vec<char>]) -> bool {
    match pattern {
        [] => key.is_empty(),
        [first, others @ ..] if *first == ['*', '*'] => {
            all(others, key) || !key.is_empty() && all(pattern, &key[1..])
        }
        [first, others @ ..] => !key.is_empty() && one(first, &key[0]) && all(others, &key[1..]),
    }
}

fn one(pattern: &[char], key: &[char]) -> bool {
    match pattern {
        [] => key.is_empty(),
        ['*', others @ ..] => one(others, key) || !key.is_empty() && one(pattern, &key[1..]),
        ['?', others @ ..] => !key.is_empty() && one(others, &key[1..]),
        ['[', '!', members @ ..] => !key.is_empty() && set(members, true, key, false),
        ['[', members @ ..] => !key.is_empty() && set(members, true, key, true),
        ['\\', own, others @ ..] | [own, others @ ..] => key.first() == Some(own) && one(others, &key[1..]),
    }
}

/// Whether the first character of `key` is found among the members, if it is `wanted` there, and the rest fits.
fn set(members: &[char], is_first: bool, key: &[char], wanted: bool) -> bool {
    let (first, others) = match members {
        [']', others @ ..] if !is_first => return !wanted && one(others, &key[1..]),
        ['\\', char, others @ ..] | [char, others @ ..] => (*char, others),
        [] => unreachable!("a set has an end"),
    };
    let (last, others) = match others {
        ['-', '\\', char, others @ ..] => (*char, others),
        ['-', char, others @ ..] if *char != ']' => (*char, others),
        others => (first, others),
    };
    if (first..=last).contains(&key[0]) {
        return wanted && one(behind(others), &key[1..]);
    }
    set(others, false, key, wanted)
}

/// What is behind the set.
fn behind(members: &[char]) -> &[char] {
    match members {
        [']', others @ ..] => others,
        ['\\', _, others @ ..] | [_, others @ ..] => behind(others),
        [] => unreachable!("a set has an end"),
    }
}
