//! The wire as a bug report shows it: each message that is sent (`->`) and received (`<-`), a line
//! each, without secrets.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    message::{Message, members, string},
    secrets::{may_show, without_secrets},
};

/// Remembers which command a reply is for.
#[derive(Debug, Default)]
pub struct Wire {
    /// By ids as they stand in messages. At most `NAMES_MAX`: more are forgotten all.
    names: BTreeMap<String, String>,
}

impl Wire {
    /// What is being sent: one command.
    pub fn sent(&mut self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let parts = members(&text, ["execute", "exec-oob", "arguments", "id"]);
        let Ok([execute, exec_oob, arguments, id]) = parts else {
            return format!("-> ({} bytes that are no command)", bytes.len());
        };
        let name = execute.or(exec_oob).and_then(string).unwrap_or_default();
        if let Some(id) = id {
            if self.names.len() >= NAMES_MAX {
                self.names.clear();
            }
            self.names.insert(id.get().to_owned(), name.clone().into_owned());
        }
        match arguments {
            Some(arguments) if !may_show(&name) => {
                let how = if exec_oob.is_some() { "exec-oob" } else { "execute" };
                let id = id.map_or("none", RawValue::get);
                let size = arguments.get().len();
                format!(
                    "-> {{\"{how}\":\"{name}\",\"id\":{id}}} (arguments left out: {size} bytes)"
                )
            }
            _ => format!("-> {}", without_secrets(&text, false, SHOWN_MAX)),
        }
    }

    /// What was received: a message, as it was understood.
    pub fn heard<E>(&mut self, message: &Result<Message<'_>, E>, text: &str) -> String {
        let size = text.len();
        match message {
            Ok(Message::Greeting(_)) => format!("<- {}", without_secrets(text, false, SHOWN_MAX)),
            Ok(Message::Event { .. }) => format!("<- {}", without_secrets(text, true, SHOWN_MAX)),
            Ok(Message::Return { id, value }) => {
                let name = self.name(*id);
                let is_empty = value.get() == "{}";
                if is_empty || name.as_deref().is_some_and(may_show) {
                    return format!("<- {}", without_secrets(text, false, SHOWN_MAX));
                }
                format!("<- (a return of {size} bytes {}, left out)", to(name))
            }
            Ok(Message::Error { id, class, .. }) => {
                let name = self.name(*id);
                if name.as_deref().is_some_and(may_show) {
                    return format!("<- {}", without_secrets(text, false, SHOWN_MAX));
                }
                let class: String = class.chars().take(CLASS_MAX).collect();
                format!("<- (an error {class} of {size} bytes {}, left out)", to(name))
            }
            Ok(Message::Unknown) | Err(_) => {
                format!("<- ({size} bytes that are no message of QMP, left out)")
            }
        }
    }

    /// The connection has ended: no reply will come.
    pub fn forget(&mut self) {
        self.names.clear();
    }

    fn name(&mut self, id: Option<&RawValue>) -> Option<String> {
        self.names.remove(id?.get())
    }
}

fn to(name: Option<String>) -> String {
    name.map_or_else(|| "to a command that was not seen".to_owned(), |name| format!("to {name}"))
}

/// As many commands as may be unanswered.
const NAMES_MAX: usize = 8192;
/// Of a message. With the time and the monitor's name it is still less than a pipe takes whole.
const SHOWN_MAX: usize = 3400;
/// QEMU has a handful of classes, and all are shorter.
const CLASS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qmp::{encode::command, message::parse};

    fn heard(wire: &mut Wire, text: &str) -> String {
        wire.heard(&parse(text), text)
    }

    #[test]
    fn a_listed_command_is_shown_with_its_reply() {
        let mut wire = Wire::default();
        let sent = command(false, "block-stream", Some(r#"{"device": "d0"}"#), "b-1");
        let shown = r#"-> {"execute":"block-stream","arguments":{"device":"d0"},"id":"b-1"}"#;
        assert_eq!(wire.sent(&sent), shown);
        let refused = r#"{"id": "b-1", "error": {"class": "GenericError", "desc": "no"}}"#;
        let shown = r#"<- {"id":"b-1","error":{"class":"GenericError","desc":"no"}}"#;
        assert_eq!(heard(&mut wire, refused), shown);
        // It has been answered: what comes now is somebody else's.
        assert!(heard(&mut wire, refused).ends_with("to a command that was not seen, left out)"));
    }

    #[test]
    fn of_any_other_command_the_name_is_shown() {
        let mut wire = Wire::default();
        let arguments = r#"{"qom-type":"secret","id":"s0","data":"HIDDEN"}"#;
        let sent = wire.sent(&command(false, "object-add", Some(arguments), "b-1"));
        let shown = r#"-> {"execute":"object-add","id":"b-1"} (arguments left out: 47 bytes)"#;
        assert_eq!(sent, shown);
        let refused = r#"{"id":"b-1","error":{"class":"GenericError","desc":"HIDDEN"}}"#;
        let shown = "<- (an error GenericError of 61 bytes to object-add, left out)";
        assert_eq!(heard(&mut wire, refused), shown);

        wire.sent(b"{\"exec-oob\":\"qom-get\",\"id\":\"b-2\"}\n");
        let shown = "<- (a return of 32 bytes to qom-get, left out)";
        assert_eq!(heard(&mut wire, r#"{"id":"b-2","return":"HIDDEN!!"}"#), shown);
        wire.sent(b"{\"execute\":\"set_password\",\"id\":\"b-3\"}\n");
        let empty = r#"{"return":{},"id":"b-3"}"#;
        assert_eq!(heard(&mut wire, empty), format!("<- {empty}"));
    }

    #[test]
    fn events_and_greetings_are_shown_and_what_is_neither_is_measured() {
        let mut wire = Wire::default();
        let event = r#"{"event":"STOP","data":{"x":1}}"#;
        assert_eq!(heard(&mut wire, event), format!("<- {event}"));
        let odd = "<- (12 bytes that are no message of QMP, left out)";
        assert_eq!(heard(&mut wire, r#"{"x":"HIDE"}"#), odd);
        assert_eq!(heard(&mut wire, r#"{"return":"x"#), odd);
    }

    #[test]
    fn after_a_connections_end_no_reply_is_known() {
        let mut wire = Wire::default();
        wire.sent(&command(false, "query-jobs", None, "b-1"));
        wire.forget();
        assert!(heard(&mut wire, r#"{"id":"b-1","return":[]}"#).contains("not seen"));
    }
}
