//! Which row somebody means who gave a name or an id. Tenants may have rows of the same name: then nothing is guessed.

use super::error::{CliError, Exit};

/// Returns the one row that is meant. `facts` says a row's id and the name that it answers to, which is none for one that
/// was retired.
///
/// # Errors
/// No row is meant, or several are: their ids are told.
pub(super) fn one<T>(
    noun: &str,
    said: &str,
    rows: Vec<T>,
    facts: impl Fn(&T) -> (&str, Option<&str>),
) -> Result<T, CliError> {
    let by_id = rows.iter().any(|row| facts(row).0 == said);
    let is_meant = |row: &T| if by_id { facts(row).0 == said } else { facts(row).1 == Some(said) };
    let mut meant: Vec<T> = rows.into_iter().filter(is_meant).collect();
    if meant.len() > 1 {
        let ids: Vec<&str> = meant.iter().map(|row| facts(row).0).collect();
        let text = format!("{} are called {said}: {}", meant.len(), ids.join(", "));
        return Err(CliError::new(Exit::Input, text)
            .hint(&format!("Say the id of the one that you mean; `backstay {noun} list` shows them.")));
    }
    meant.pop().ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("there is no {noun} {said}"))
            .hint(&format!("`backstay {noun} list` shows what there is."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, expected: Result<&str, (Exit, &str)>) {
        let rows = vec![("1", Some("home")), ("2", Some("home")), ("3", Some("etc")), ("4", None), ("etc", Some("x"))];
        let found = one("plan", said, rows, |row| *row).map(|row| row.0);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err((exit, words))) => {
                assert!(error.exit() == exit && error.heading().contains(words), "{said}: {error:?}");
            }
            (found, expected) => panic!("{said}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_name_that_two_have_is_nobody_s() {
        check("2", Ok("2"));
        check("4", Ok("4"));
        check("x", Ok("etc"));
        check("etc", Ok("etc")); // An id goes before a name.
        check("home", Err((Exit::Input, "2 are called home: 1, 2")));
        check("gone", Err((Exit::NotFound, "there is no plan gone")));
    }
}
