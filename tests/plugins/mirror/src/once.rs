//! What the mirror can be told to do with operations that must happen once. Starts are kept and named by their number, for
//! each host makes up other tokens.

use pintle_plugin::{BeginOptions, Begun, Context, Outcome};

use super::operations::{Kept, Words, bytes, lock, shown, told};

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        // Time passes in one of the hosts.
        Outcome::InProgress { retry_after } => {
            format!("in progress {}00s", retry_after.as_millis().div_ceil(100_000))
        }
        Outcome::Done(result) => format!("done {}", bytes(result)),
        Outcome::Failed(error) => format!("failed {}", bytes(error)),
        Outcome::Mismatch => "mismatch".into(),
    }
}

impl Kept {
    pub(crate) fn once(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        let operations = cx.idempotency();
        let number = usize::try_from(words.integer(0)).unwrap_or(usize::MAX);
        let start = || operations.resume(lock(&self.starts).get(number).copied().unwrap_or(4_711));
        match name {
            "begin" => {
                let mut options = BeginOptions::new();
                if words.0.get(3).is_some_and(|word| word.is_number()) {
                    options = options.lease(words.milliseconds(3));
                }
                if words.0.get(4).is_some_and(|word| word.is_number()) {
                    options = options.keep(words.milliseconds(4));
                }
                let (operation, key, print) = (words.text(0), words.text(1), words.text(2));
                let begun = operations.begin_with(&operation, &key, print.as_bytes(), &options);
                told(begun, |begun| match begun {
                    Begun::Started(start) => {
                        let mut starts = lock(&self.starts);
                        starts.push(start.token());
                        let over = if start.taken_over() { " over" } else { "" };
                        format!("started {}{over} attempt {}", starts.len() - 1, start.attempt())
                    }
                    Begun::InProgress { retry_after } => outcome(&Outcome::InProgress { retry_after }),
                    Begun::Done(result) => outcome(&Outcome::Done(result)),
                    Begun::Failed(error) => outcome(&Outcome::Failed(error)),
                    Begun::Mismatch => outcome(&Outcome::Mismatch),
                })
            }
            "get" => told(operations.get(&words.text(0), &words.text(1)), |found| {
                found.as_ref().map_or_else(|| "nothing".into(), outcome)
            }),
            "complete" => shown(start().complete(words.text(1).as_bytes())),
            "fail" => shown(start().fail()),
            "fail_for_good" => shown(start().fail_for_good(words.text(1).as_bytes())),
            "renew" => {
                let given = words.0.get(1).is_some_and(|word| word.is_number());
                shown(start().renew(given.then(|| words.milliseconds(1))))
            }
            "zero" => shown(operations.resume(0).complete(b"")),
            _ => format!("no once.{name}"),
        }
    }
}
