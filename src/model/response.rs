//! What became of a command: QEMU's reply as text, never as a tree, or why there is none.

use std::ffi::CStr;

use super::{
    error::{Code, Error},
    text::{Place, Texts},
};

/// A plain value; its strings can be handed to C as they stand.
#[derive(Debug)]
pub struct Response {
    /// The command's number at its listener.
    pub number: i64,
    /// Why it was not carried out, or is not known to have been.
    pub failure: Option<Code>,
    texts: Texts,
    /// What QEMU returned, or its whole error.
    json: Option<Place>,
    class: Option<Place>,
    text: Option<Place>,
}

impl Response {
    /// QEMU has carried it out.
    pub fn returned(number: i64, json: &str) -> Self {
        let mut texts = Texts::with_capacity(json.len() + 1);
        let json = Some(texts.push(json));
        Self { number, failure: None, texts, json, class: None, text: None }
    }

    /// QEMU has refused it.
    pub fn refused(number: i64, class: &str, description: &str, json: &str) -> Self {
        let room = json.len() + class.len() + description.len() + 3;
        let mut texts = Texts::with_capacity(room);
        let json = Some(texts.push(json));
        let (class, text) = (Some(texts.push(class)), Some(texts.push(description)));
        Self { number, failure: Some(Code::Remote), texts, json, class, text }
    }

    /// No reply of QEMU's is there.
    pub fn failed(number: i64, error: &Error) -> Self {
        let mut texts = Texts::default();
        let text = Some(texts.push(&error.text));
        Self { number, failure: Some(error.code), texts, json: None, class: None, text }
    }

    pub fn json(&self) -> Option<&CStr> {
        self.json.map(|span| self.texts.get(span))
    }

    /// QEMU's class of its refusal.
    pub fn class(&self) -> Option<&CStr> {
        self.class.map(|span| self.texts.get(span))
    }

    /// Why it failed, for people.
    pub fn text(&self) -> Option<&CStr> {
        self.text.map(|span| self.texts.get(span))
    }

    /// The failure as an error.
    pub fn error(&self) -> Option<Error> {
        let text = |text: Option<&CStr>| text.map(|it| it.to_string_lossy().into_owned());
        let said = text(self.text()).unwrap_or_default();
        self.failure.map(|code| match text(self.class()) {
            Some(class) => Error::refused(&class, &said),
            None => Error::new(code, said),
        })
    }

    /// Bytes that it holds, about.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.texts.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_what_qemu_returned_or_why_it_did_not() {
        let returned = Response::returned(7, "{\"a\": 1}");
        assert_eq!(returned.json(), Some(c"{\"a\": 1}"));
        assert_eq!((returned.failure, returned.error()), (None, None));

        let refused = Response::refused(7, "GenericError", "no", "{}");
        assert_eq!((refused.class(), refused.text()), (Some(c"GenericError"), Some(c"no")));
        let error = refused.error().unwrap();
        assert_eq!((error.code, error.text.as_str()), (Code::Remote, "GenericError: no"));
        assert_eq!(error.class.as_deref(), Some("GenericError"));

        let error = Error::new(Code::TimedOut, "late");
        let failed = Response::failed(7, &error);
        assert_eq!((failed.json(), failed.class()), (None, None));
        assert_eq!(failed.error(), Some(error));
    }
}
