//! A message as an HTML page for mail programs: styles in the elements, one column, a phone's width or more.
//!
//! Colours stand in the elements for light programs and in one style sheet for dark ones; a colour is never the only
//! sign, each has its word. All texts are foreign and escaped. There is nothing to load: no picture, no font, no link.

use std::fmt::Write as _;

use backstay_core::domain::alert::Severity;
use backstay_core::domain::message::{Message, Purpose, Section};

/// For programs that know the dark: the classes of the elements below.
const DARK: &str = ":root{color-scheme:light dark}\
@media (prefers-color-scheme:dark){\
.page{background:#111418!important}.card{background:#1b2027!important;border-left-color:#39424e!important;\
border-right-color:#39424e!important;border-bottom-color:#39424e!important}\
.text{color:#e6e9ee!important}.soft{color:#a3adba!important}.line{border-color:#39424e!important}\
.code{background:#262d36!important;color:#e6e9ee!important}}";

/// Escapes a text for an element's content and for a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Letters that turn the direction of what follows, or that no page may have.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            letter if letter.is_control() && letter != '\n' && letter != '\t' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// Returns sign, word and colours of what a message or a section is.
const fn look(severity: Severity) -> (&'static str, &'static str, &'static str) {
    match severity {
        Severity::Critical => ("&#9650;", "critical", "#8c1d18"),
        Severity::Error => ("&#9632;", "error", "#b3261e"),
        Severity::Warning => ("&#9670;", "warning", "#8a5a00"),
        Severity::Info => ("&#9679;", "info", "#2f6f4f"),
    }
}

/// Returns the sign, word and colours of the whole message.
const fn badge(message: &Message) -> (&'static str, &'static str, &'static str) {
    let (sign, word, colour) = look(message.severity);
    match message.purpose {
        Purpose::End => ("&#10003;", "well again", "#2f6f4f"),
        Purpose::Test => (sign, "test", colour),
        Purpose::Digest if matches!(message.severity, Severity::Info) => ("&#10003;", "all well", colour),
        Purpose::Alert | Purpose::Digest | Purpose::Started | Purpose::Succeeded | Purpose::Failed => {
            (sign, word, colour)
        }
    }
}

fn section(out: &mut String, section: &Section) {
    let (sign, word, colour) = look(section.severity);
    let mark = match section.severity {
        Severity::Info => String::new(),
        _ => format!(
            "<span style=\"display:inline-block;margin-left:8px;padding:1px 8px;border-radius:10px;background:{colour};\
             color:#ffffff;font-size:12px;font-weight:600;white-space:nowrap\">{sign} {word}</span>"
        ),
    };
    let _ = write!(
        out,
        "<h2 class=\"text\" style=\"margin:24px 0 6px;font-size:16px;line-height:1.4;color:#1d2126\">{}{mark}</h2>\
         <ul style=\"margin:0;padding:0;list-style:none\">",
        escaped(&section.heading)
    );
    for line in &section.lines {
        let _ = write!(
            out,
            "<li class=\"text line\" style=\"margin:0;padding:6px 0;border-top:1px solid #e3e6ea;color:#1d2126;\
             font-size:14px;line-height:1.45;overflow-wrap:anywhere;word-break:break-word\">{}</li>",
            escaped(line)
        );
    }
    out.push_str("</ul>");
}

/// Returns a message as a whole page.
pub fn page(message: &Message) -> String {
    let (sign, word, colour) = badge(message);
    let subject = escaped(&message.subject);
    let mut out = String::with_capacity(8_192);
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"supported-color-schemes\" content=\"light dark\">\
         <title>{subject}</title><style>{DARK}</style></head>\
         <body class=\"page\" style=\"margin:0;padding:0;background:#f2f4f7\">\
         <div class=\"page\" style=\"background:#f2f4f7;padding:16px 8px;font-family:system-ui,-apple-system,'Segoe UI',\
         Roboto,Arial,sans-serif\">\
         <div class=\"card\" style=\"max-width:600px;margin:0 auto;background:#ffffff;border:1px solid #d9dde3;\
         border-top:6px solid {colour};border-radius:8px;padding:20px\">\
         <div><span style=\"display:inline-block;padding:3px 12px;border-radius:12px;background:{colour};color:#ffffff;\
         font-size:13px;font-weight:700\">{sign} {word}</span></div>\
         <h1 class=\"text\" style=\"margin:12px 0 8px;font-size:20px;line-height:1.3;color:#1d2126;\
         overflow-wrap:anywhere;word-break:break-word\">{subject}</h1>\
         <p class=\"text\" style=\"margin:0 0 12px;font-size:15px;line-height:1.5;color:#1d2126;overflow-wrap:anywhere;\
         word-break:break-word\">{}</p>",
        escaped(&message.lead)
    );
    for (name, value) in &message.facts {
        let _ = write!(
            out,
            "<div class=\"line\" style=\"padding:6px 0;border-top:1px solid #e3e6ea\">\
             <div class=\"soft\" style=\"font-size:12px;color:#5b6572\">{}</div>\
             <div class=\"text\" style=\"font-size:15px;line-height:1.4;color:#1d2126;overflow-wrap:anywhere;\
             word-break:break-word\">{}</div></div>",
            escaped(name),
            escaped(value)
        );
    }
    message.sections.iter().for_each(|one| section(&mut out, one));
    if !message.next_steps.is_empty() {
        out.push_str(
            "<h2 class=\"text\" style=\"margin:24px 0 6px;font-size:16px;color:#1d2126\">What you can do</h2>\
             <ol style=\"margin:0;padding:0 0 0 20px\" class=\"text\">",
        );
        for step in &message.next_steps {
            let _ = write!(
                out,
                "<li class=\"text\" style=\"margin:0 0 8px;font-size:14px;line-height:1.45;color:#1d2126;\
                 overflow-wrap:anywhere;word-break:break-word\">{}</li>",
                step_html(step)
            );
        }
        out.push_str("</ol>");
    }
    let _ = writeln!(
        out,
        "<p class=\"soft\" style=\"margin:20px 0 0;font-size:12px;color:#5b6572\">Backstay, {:.0}</p></div></div></body>\
         </html>",
        message.at
    );
    out
}

/// Returns a step, its command set apart: what stands from `backstay ` on.
fn step_html(step: &str) -> String {
    let Some((words, command)) = step.split_once(": backstay ") else { return escaped(step) };
    format!(
        "{}:<br><code class=\"code\" style=\"display:inline-block;margin-top:4px;padding:3px 6px;border-radius:4px;\
         background:#eef0f3;color:#1d2126;font-family:ui-monospace,Consolas,monospace;font-size:13px;\
         overflow-wrap:anywhere;word-break:break-word\">backstay {}</code>",
        escaped(words),
        escaped(command)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message {
            purpose: Purpose::Alert,
            severity: Severity::Error,
            subject: text.to_owned(),
            lead: text.to_owned(),
            facts: vec![(text.to_owned(), text.to_owned())],
            sections: vec![Section {
                heading: text.to_owned(),
                severity: Severity::Critical,
                lines: vec![text.to_owned()],
            }],
            next_steps: vec![format!("{text}: backstay {text}"), text.to_owned()],
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// Whatever names hold, the page has the elements that it has for a harmless name.
    #[test]
    fn no_foreign_text_makes_an_element() {
        let tags = |page: &str| page.matches('<').count();
        let plain = page(&message("home"));
        for bad in ["<script>alert(1)</script>", "\"><img src=x onerror=y>", "'; x=\"", "a&b", "]]>", "\u{202e}exe.\0"]
        {
            let page = page(&message(bad));
            assert_eq!(tags(&page), tags(&plain), "{bad}");
            assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}'), "{bad}");
        }
        assert!(page(&message("a&b")).contains("a&amp;b"));
    }

    #[test]
    fn a_colour_is_never_the_only_sign() {
        for severity in Severity::ALL {
            let page = page(&Message { severity: *severity, ..message("x") });
            assert!(
                page.contains(&format!("; {}", severity.word()))
                    || page.contains(&format!(";{}", severity.word()))
                    || page.contains(&format!(" {}</span>", severity.word())),
                "{}",
                severity.word()
            );
        }
    }
}
