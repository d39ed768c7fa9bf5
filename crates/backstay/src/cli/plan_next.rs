//! `backstay plan next`: when a plan starts next, in its own zone and in that of whoever asks, and what will hold it back.

use std::time::Duration;

use backstay_api::types::plan::{OccurrenceView, PlanScheduleView, PlanView};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::human;
use super::screen::Screen;

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Next<'a> {
    plan: &'a str,
    time_zone: &'a str,
    jitter_ms: u64,
    paused_at: Option<&'a str>,
    held: Option<&'a str>,
    next: &'a [OccurrenceView],
}

/// Prints a plan's next starts.
pub(super) fn show(screen: &Screen, plan: &PlanView, view: &PlanScheduleView) {
    let zone = plan.schedule.time_zone.as_deref().unwrap_or("UTC");
    let jitter_ms = plan.schedule.jitter_ms.unwrap_or(0);
    if screen.json() {
        let (paused_at, held) = (view.paused_at.as_deref(), view.held.as_deref());
        return screen.value(&Next { plan: &plan.name, time_zone: zone, jitter_ms, paused_at, held, next: &view.next });
    }
    if let Some(at) = &view.paused_at {
        let words = "none of these starts before `backstay plan resume` lets it go on";
        screen.line(&format!("paused since {}: {words}\n", human::instant(at)));
    }
    if view.next.is_empty() {
        return screen.line("it starts on request only; `backstay plan run` asks for one");
    }
    let here = TimeZone::system();
    // What a system without a zone's name has is not worth a column.
    let here_name = here.iana_name().filter(|name| *name != zone);
    let mut heading = vec![format!("planned ({zone})"), format!("starts ({zone})")];
    heading.extend(here_name.map(|name| format!("starts ({name})")));
    heading.extend(["delay", "held back"].map(str::to_owned));
    let plans_zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let row = |row: &OccurrenceView| {
        let mut cells = vec![moment(&row.planned_at, &plans_zone), moment(&row.start_at, &plans_zone)];
        cells.extend(here_name.map(|_| moment(&row.start_at, &here)));
        cells.push(delay(row));
        cells.push(row.held.clone().unwrap_or_default());
        cells
    };
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    screen.table(&heading, view.next.iter().map(row).collect());
}

/// Returns an instant of the wire in a zone, with the day of the week: that is what people look for.
fn moment(text: &str, zone: &TimeZone) -> String {
    let at = text.parse::<Timestamp>();
    at.map_or_else(|_| text.to_owned(), |at| at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S").to_string())
}

/// Returns how much later than planned it starts, so that not all plans of an hour start at once.
fn delay(row: &OccurrenceView) -> String {
    let (Ok(planned), Ok(start)) = (row.planned_at.parse::<Timestamp>(), row.start_at.parse::<Timestamp>()) else {
        return String::new();
    };
    let later = Duration::try_from(start.duration_since(planned)).unwrap_or(Duration::ZERO);
    if later.is_zero() { "none".to_owned() } else { human::duration(later) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_a_zone_and_a_delay_beside_it() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(moment("2026-07-01T00:30:00Z", &zone), "Wed 2026-07-01 02:30:00");
        let row = |start_at: &str| OccurrenceView {
            planned_at: "2026-07-01T00:30:00Z".to_owned(),
            start_at: start_at.to_owned(),
            held: None,
        };
        assert_eq!(delay(&row("2026-07-01T00:30:00Z")), "none");
        assert_eq!(delay(&row("2026-07-01T00:34:05Z")), "4 min 5 s");
    }
}
