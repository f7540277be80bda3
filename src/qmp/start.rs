//! The command that starts a job, made recoverable: with the job's id, and kept by QEMU until it is
//! dismissed, where this QEMU's command knows that.

use super::{
    command::{check_name, object},
    encode::{member, string},
    message::{boolean, members, string as text_of},
};
use crate::model::{Code, Error, Version};

/// A command's arguments, completed.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    pub arguments: String,
    /// QEMU keeps the job until it is dismissed.
    pub stays: bool,
}

/// Completes the arguments of a command that starts a job.
pub fn start(version: Version, command: &str, arguments: &str, id: &str) -> Result<Start, Error> {
    let invalid = |text: String| Error::new(Code::Invalid, text);
    check_name(command)?;
    if command == "transaction" {
        return Err(invalid(
            "transaction does not start one job: execute it as a command, with a handle for each \
             of its jobs"
                .into(),
        ));
    }
    let arguments = &object(command, arguments)?;
    object(command, &member("job-id", id))?;
    let [job_id, auto_dismiss, device] = members(arguments, ["job-id", "auto-dismiss", "device"])
        .expect("it is an object, and no member stands in it twice");
    let mut ours = Vec::new();
    let given = job_id.map(|raw| text_of(raw).unwrap_or_default());
    if given.as_ref().is_some_and(|given| given != id) {
        return Err(invalid(format!(
            "the arguments have another job-id ({}) than the handle ({id}); leave it out",
            given.unwrap_or_default()
        )));
    }
    if version.is_from(2, 7) {
        if given.is_none() {
            ours.push(format!("\"job-id\":{}", string(id)));
        }
    } else if device.and_then(text_of).as_deref() != Some(id) {
        let text = format!(
            "QEMU {}.{} names a job by its device: make the handle with the device's name, not \
             {id:?}",
            version.major, version.minor
        );
        return Err(Error::new(Code::NotSupported, text));
    }
    let auto_dismiss = match auto_dismiss {
        None => None,
        // Ours beside it would be one member twice.
        Some(raw) => Some(boolean(raw).ok_or_else(|| {
            invalid("the arguments' auto-dismiss is neither true nor false; leave it out".into())
        })?),
    };
    let stays = match (auto_dismiss, keeps(version, command)) {
        (Some(auto), _) => !auto,
        (None, Keeps::Always) => true,
        (None, Keeps::IfAsked) => {
            ours.push("\"auto-dismiss\":false".into());
            true
        }
        (None, Keeps::Never) => false,
    };
    Ok(Start { arguments: with(&ours, arguments), stays })
}

enum Keeps {
    /// Jobs without an event at their end.
    Always,
    IfAsked,
    Never,
}

/// When each command learned `auto-dismiss`. A newer QEMU's unknown command is sent as it is.
fn keeps(version: Version, command: &str) -> Keeps {
    match command {
        "blockdev-create" | "x-blockdev-amend" | "blockdev-amend" | "snapshot-save"
        | "snapshot-load" | "snapshot-delete" => Keeps::Always,
        "drive-backup" | "blockdev-backup" if version.is_from(2, 12) => Keeps::IfAsked,
        "block-stream" | "block-commit" | "drive-mirror" | "blockdev-mirror"
            if version.is_from(3, 1) =>
        {
            Keeps::IfAsked
        }
        _ => Keeps::Never,
    }
}

/// Puts our members before those of an object.
fn with(ours: &[String], object: &str) -> String {
    let rest = object.trim_start().trim_start_matches('{').trim_start();
    let comma = if ours.is_empty() || rest.starts_with('}') { "" } else { "," };
    format!("{{{}{comma}{rest}", ours.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Version = Version { major: 10, minor: 0, micro: 2 };
    const OLD: Version = Version { major: 2, minor: 5, micro: 0 };

    fn arguments(version: Version, command: &str, arguments: &str) -> (String, bool) {
        let start = start(version, command, arguments, "j-1").unwrap();
        (start.arguments, start.stays)
    }

    #[test]
    fn a_command_that_is_no_name_is_refused() {
        for command in ["a\",\"b", "a b", "a\n", "\u{e9}"] {
            assert_eq!(start(NEW, command, "{}", "j-1").unwrap_err().code, Code::Invalid);
        }
        assert!(start(NEW, "__com.redhat_drive-mirror", "{}", "j-1").is_ok());
    }

    #[test]
    fn a_job_gets_its_id_and_stays_where_qemu_can_keep_it() {
        let text = r#"{"job-id":"j-1","auto-dismiss":false,"device": "d"}"#;
        assert_eq!(arguments(NEW, "block-stream", r#" { "device": "d"}"#), (text.into(), true));
        let older = Version { major: 2, minor: 12, micro: 0 };
        assert_eq!(arguments(older, "block-stream", "{}"), (r#"{"job-id":"j-1"}"#.into(), false));
        assert!(arguments(older, "drive-backup", "{}").1);
        assert_eq!(arguments(NEW, "blockdev-create", "{}"), (r#"{"job-id":"j-1"}"#.into(), true));
        assert_eq!(arguments(NEW, "teleport", "{}"), (r#"{"job-id":"j-1"}"#.into(), false));
    }

    #[test]
    fn what_the_caller_says_himself_is_kept() {
        let own = r#"{"job-id": "j-1", "auto-dismiss": true}"#;
        assert_eq!(
            arguments(NEW, "block-stream", own),
            (r#"{"job-id": "j-1", "auto-dismiss": true}"#.into(), false)
        );
        let refused = start(NEW, "block-stream", r#"{"job-id": "other"}"#, "j-1").unwrap_err();
        assert_eq!(refused.code, Code::Invalid);
        assert!(refused.text.contains("another job-id (other)"), "{}", refused.text);
        let refused = start(NEW, "block-stream", r#"{"auto-dismiss": "no"}"#, "j-1").unwrap_err();
        assert_eq!(refused.code, Code::Invalid);
        assert!(refused.text.contains("neither true nor false"), "{}", refused.text);
    }

    #[test]
    fn an_old_qemus_job_has_its_devices_name() {
        let by_device = start(OLD, "block-stream", r#"{"device": "j-1"}"#, "j-1").unwrap();
        assert_eq!(by_device.arguments, r#"{"device": "j-1"}"#);
        let refused = start(OLD, "block-stream", r#"{"device": "d"}"#, "j-1").unwrap_err();
        assert_eq!(refused.code, Code::NotSupported);
    }

    /// It answers those without saying which command that was, and the start would wait in vain.
    #[test]
    fn arguments_that_qemu_cannot_read_are_refused() {
        for arguments in [
            r#"{"a": {"b": 1, "b": 2}}"#,
            r#"{"a": 1e999}"#,
            r#"{"a": "\ud800"}"#,
            "{\"a\": \"\u{ffff}\"}",
        ] {
            let refused = start(NEW, "block-stream", arguments, "j-1").unwrap_err();
            assert_eq!(refused.code, Code::Invalid, "{arguments}");
            assert!(refused.text.contains("no JSON object that QEMU reads"), "{}", refused.text);
        }
        let refused = start(NEW, "block-stream", "{}", "j-\u{ffff}").unwrap_err();
        assert_eq!(refused.code, Code::Invalid);
        let start = start(NEW, "blockdev-create", "{\r\n\"a\":\n1}", "j-1").unwrap();
        assert_eq!(start.arguments, r#"{"job-id":"j-1","a": 1}"#);
    }

    #[test]
    fn what_is_no_object_or_no_single_job_is_refused() {
        for arguments in ["", "[]", "{\"a\": }", "{} {}", "{\"device\": 1, \"device\": 2}"] {
            let refused = start(NEW, "block-stream", arguments, "j-1").unwrap_err();
            assert_eq!(refused.code, Code::Invalid, "{arguments}");
        }
        assert!(start(NEW, "transaction", "{}", "j-1").is_err());
    }
}
