//! How far a repository is proved within its budget, for a person.

use std::time::Duration;

use backstay_api::types::repository::{ProofView, RepositoryView};
use backstay_core::domain::proof::VerifyBudget;

use super::error::{CliError, Exit};
use super::human;
use super::said::length_ms;
use super::screen::Screen;

/// Reads a budget: a length of time, `never`, or `default`.
pub(super) fn within_ms(text: &str) -> Result<Option<u64>, CliError> {
    match text {
        "default" => Ok(None),
        "never" => Ok(Some(0)),
        text => {
            let given = length_ms("--verify-within", text)?;
            match VerifyBudget::from_ms(Some(given)) {
                Ok(budget) if budget != VerifyBudget::Never => Ok(Some(given)),
                _ => {
                    Err(CliError::new(Exit::Input, format!("--verify-within `{text}` is not from a day to ten years"))
                        .hint("Write one such as 14d; never, to leave it to people; default, for 30d."))
                }
            }
        }
    }
}

/// Prints a repository: a fact a line, its proof in words; or JSON.
pub(super) fn show(screen: &Screen, repository: &RepositoryView) {
    if screen.json() {
        return screen.value(repository);
    }
    let plain = RepositoryView { proof: None, ..repository.clone() };
    super::show::show(screen, &plain);
    screen.line(&format!("\n{}", words(repository)));
}

/// Returns it in a few words, for a table.
pub(super) fn short(repository: &RepositoryView) -> String {
    match &repository.proof {
        None => "not by itself".to_owned(),
        Some(proof) => {
            let overdue = if proof.overdue_since.is_some() { ", overdue" } else { "" };
            format!("{} of {} in {}{overdue}", proof.proved, proof.of, days(proof))
        }
    }
}

fn days(proof: &ProofView) -> String {
    match (proof.within_ms / 86_400_000, proof.within_ms % 86_400_000) {
        (1, 0) => "a day".to_owned(),
        (days, 0) => format!("{days} days"),
        _ => human::duration(Duration::from_millis(proof.within_ms)),
    }
}

/// Says how far a proof is.
fn words(repository: &RepositoryView) -> String {
    let Some(proof) = &repository.proof else {
        let name = &repository.name;
        return format!("it is never read back by itself; `backstay repository verify {name}` does it now");
    };
    let oldest = match &proof.oldest_at {
        Some(at) => format!("oldest proof {}", human::instant(at)),
        None => "some were never read".to_owned(),
    };
    let overdue = match &proof.overdue_since {
        Some(at) => format!("; overdue since {}", human::instant(at)),
        None => String::new(),
    };
    let drills = match (proof.drills, proof.restore_bytes_per_second) {
        (1, Some(rate)) => format!("\na restore drill brought back {}/s", human::bytes(rate)),
        (count, Some(rate)) => format!("\nthe slowest of {count} restore drills brought back {}/s", human::bytes(rate)),
        (_, None) => String::new(),
    };
    format!("proved {} of {} slices within {}, {oldest}{overdue}{drills}", proof.proved, proof.of, days(proof))
}

#[cfg(test)]
mod tests {
    use backstay_api::types::repository::StorageView;

    use super::*;

    fn view(proof: Option<ProofView>) -> RepositoryView {
        RepositoryView {
            id: "1".to_owned(),
            tenant_id: "2".to_owned(),
            name: "home".to_owned(),
            kind: "restic".to_owned(),
            storage_id: None,
            storage: StorageView { kind: "local".to_owned(), settings: serde_json::json!({}) },
            password_reference: "sealed:home".to_owned(),
            credentials: Default::default(),
            verify_within_ms: None,
            proof,
            epoch: 0,
            retired_at: None,
        }
    }

    #[test]
    fn a_budget_is_a_length_or_a_word() {
        assert_eq!(within_ms("14d").unwrap(), Some(14 * 86_400_000));
        assert_eq!((within_ms("never").unwrap(), within_ms("default").unwrap()), (Some(0), None));
        assert!(within_ms("soon").is_err() && within_ms("5h").is_err() && within_ms("0s").is_err());
    }

    #[test]
    fn words_say_what_was_proved_and_what_was_not() {
        let none = ProofView {
            within_ms: 30 * 86_400_000,
            proved: 12,
            of: 30,
            oldest_at: None,
            overdue_since: None,
            drills: 0,
            restore_bytes_per_second: None,
        };
        assert!(words(&view(None)).starts_with("it is never read back by itself"));
        assert_eq!(words(&view(Some(none.clone()))), "proved 12 of 30 slices within 30 days, some were never read");
        assert_eq!(short(&view(Some(none.clone()))), "12 of 30 in 30 days");
        let late = ProofView {
            oldest_at: Some("2026-01-02T03:04:05Z".to_owned()),
            overdue_since: Some("2026-02-01T03:04:05Z".to_owned()),
            drills: 3,
            restore_bytes_per_second: Some(1 << 20),
            ..none
        };
        let said = words(&view(Some(late.clone())));
        assert!(said.contains("; overdue since ") && said.contains("the slowest of 3 restore drills"), "{said}");
        assert_eq!(short(&view(Some(late))), "12 of 30 in 30 days, overdue");
    }
}
