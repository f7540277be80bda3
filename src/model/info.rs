//! What QEMU says of a job when it is asked: one moment of it.

use std::ffi::CStr;

use super::{
    job::{JobType, Status},
    text::{Place, Texts},
};

/// A job at the moment at which QEMU was asked. A plain value; its strings can be handed to C as
/// they stand. What this QEMU does not say is `None`, or `Unknown`.
#[derive(Debug, Clone)]
pub struct JobInfo {
    pub job_type: JobType,
    pub status: Status,
    pub len: Option<i64>,
    pub offset: Option<i64>,
    pub speed: Option<i64>,
    pub paused: Option<bool>,
    pub ready: Option<bool>,
    pub auto_finalize: Option<bool>,
    pub auto_dismiss: Option<bool>,
    texts: Texts,
    id: Place,
    type_name: Option<Place>,
    status_name: Option<Place>,
    error: Option<Place>,
}

impl JobInfo {
    /// A job by what QEMU says of it in words, and no more.
    pub fn new(
        id: &str,
        type_name: Option<&str>,
        status_name: Option<&str>,
        error: Option<&str>,
    ) -> Self {
        let mut texts = Texts::default();
        let id = texts.push(id);
        let [type_span, status_span, error] =
            [type_name, status_name, error].map(|text| text.map(|text| texts.push(text)));
        Self {
            job_type: type_name.map_or(JobType::Unknown, JobType::from_word),
            status: status_name.map_or(Status::Unknown, Status::from_word),
            len: None,
            offset: None,
            speed: None,
            paused: None,
            ready: None,
            auto_finalize: None,
            auto_dismiss: None,
            texts,
            id,
            type_name: type_span,
            status_name: status_span,
            error,
        }
    }

    pub fn id(&self) -> &CStr {
        self.texts.get(self.id)
    }

    pub fn type_name(&self) -> Option<&CStr> {
        self.text(self.type_name)
    }

    pub fn status_name(&self) -> Option<&CStr> {
        self.text(self.status_name)
    }

    pub fn error(&self) -> Option<&CStr> {
        self.text(self.error)
    }

    fn text(&self, span: Option<Place>) -> Option<&CStr> {
        span.map(|span| self.texts.get(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_newer_qemu_is_unknown_and_kept() {
        let info = JobInfo::new("j\0", Some("teleport"), Some("ready"), None);
        assert_eq!((info.job_type, info.status), (JobType::Unknown, Status::Ready));
        assert_eq!(info.id().to_str(), Ok("j\u{FFFD}"));
        assert_eq!(info.type_name(), Some(c"teleport"));
        assert_eq!((info.status_name(), info.error()), (Some(c"ready"), None));
    }
}
