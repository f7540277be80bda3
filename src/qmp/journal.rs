//! QEMU's event journal: how jobs ended while nobody listened. A [`Search`] says which slice of the
//! file it wants and is given it; opening and reading are the engine's.
//!
//! With a position to go on from, the file is read from there to its end. Without one it is first
//! read backwards, until each job that is wanted has its beginning behind it, and then forwards
//! from the earliest of them: a job's events are understood in one way only, in the file's order.
//! Memory does not grow with the file.
//!
//! About time: lines of the file may be in any order of time, and the file's order counts. A job's
//! `since` is compared with times only to find its first event, and where the way back ends: at a
//! line older than it by a minute, so a clock that stepped back by less loses nothing.

use std::collections::{BTreeMap, BTreeSet};

pub use super::position::Position;
use super::{
    cut::{Backward, Forward, first_line},
    position::mark_len,
    trail::{Seen, Sieve, Sought, Trail, for_each_event, is_whole, time_of},
};
use crate::model::{Event, Timestamp, Word};

/// A job whose end is looked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What the caller calls it.
    pub job: u64,
    pub id: String,
    /// A moment at which it lived, or before which it had not begun; best the time of an event of
    /// its own. `None` is for the last incarnation of the id that is in the file, up to `until`.
    pub since: Option<Timestamp>,
    /// By then it was over: what happened later is another job's.
    pub until: Option<Timestamp>,
}

/// What is to be found.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub wanted: Vec<Wanted>,
    /// Also each job whose id begins so and that has an event behind `from`; without `from` none.
    pub prefix: Option<String>,
    /// The position of earlier findings: nothing before it is looked at, for wanted jobs neither.
    /// If it is not of this file, all of the file is new: then it
    /// is as if there were no position, and with a prefix as if it were the file's beginning.
    pub from: Option<Position>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// For each job that was wanted the events of its incarnation in the file's order, up to its
    /// end if that was found: of its status, completed and cancelled only. Of more than 32 the
    /// last ones, and its creation before them. If its terminal event is the last that the file
    /// says of it, that may stand alone.
    ///
    /// If the last one of several is a creation, that is another job's of this id: the one before
    /// had no end, and died with its QEMU.
    ///
    /// If the first one is a creation later than `since`, nothing of the job stands behind `since`
    /// but this: a job that is known to have lived before is another one, and died with its QEMU.
    pub jobs: Vec<(u64, Vec<Event>)>,
    /// The jobs of which it has neither a beginning nor anything as old as their `since`: its own
    /// beginning may be gone, and then what it has of the id may be another job's, and more may
    /// have happened than it has.
    pub cut_off: BTreeSet<u64>,
    /// The events of the jobs with the prefix, job by job.
    pub others: Vec<Event>,
    /// Where to go on. `None`: it did not come so far, and the former position still holds.
    pub position: Option<Position>,
    /// `from` was not of this file, which has been truncated, replaced or begun anew.
    pub restarted: bool,
    /// What went wrong, to be read after the journal's name. What was found is true even then, but
    /// may not be all.
    pub problem: Option<String>,
}

/// What a search needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Exactly these bytes, which the file has unless it has shrunk; never more than a slice.
    Read {
        offset: u64,
        len: usize,
    },
    Done,
}

#[derive(Debug)]
pub struct Search {
    request: Request,
    /// What comes behind it belongs to the next search.
    file_len: u64,
    slice: usize,
    shrunk: usize,
    sieve: Sieve,
    stage: Stage,
    sought: Vec<Sought>,
    /// By id; at most `OTHERS_MAX`.
    others: BTreeMap<String, Trail>,
    /// The line of the first job that `others` had no room for.
    left_out: Option<u64>,
    seen: Seen,
    position: Option<Position>,
    restarted: bool,
    problem: Option<String>,
}

#[derive(Debug)]
enum Stage {
    /// Is the position of this file?
    Check(Position),
    Back(Backward),
    /// With the beginning of the last line, where the way back has shown it.
    Forward(Forward, Option<u64>),
    /// Reads what stands before the new position.
    Mark(u64),
    Done,
}

impl Search {
    pub fn new(request: Request, file_len: u64) -> Self {
        Self::with_slice(request, file_len, SLICE)
    }

    /// With slices of another size than usual.
    pub fn with_slice(request: Request, file_len: u64, slice: usize) -> Self {
        let ids = request.wanted.iter().map(|wanted| wanted.id.as_str());
        let sieve = Sieve::new(ids, request.prefix.as_deref().filter(|_| request.from.is_some()));
        let mut search = Self {
            request,
            file_len,
            slice: slice.max(1),
            shrunk: 0,
            sieve,
            stage: Stage::Done,
            sought: Vec::new(),
            others: BTreeMap::new(),
            left_out: None,
            seen: Seen::default(),
            position: None,
            restarted: false,
            problem: None,
        };
        search.begin();
        search
    }

    pub fn next(&self) -> Want {
        let before = |end: u64| {
            let len = mark_len(end);
            Want::Read { offset: end - len as u64, len }
        };
        match &self.stage {
            Stage::Check(position) => before(position.offset()),
            Stage::Mark(end) => before(*end),
            Stage::Back(lines) => {
                let len = self.at_most_a_slice(lines.at());
                Want::Read { offset: lines.at() - len as u64, len }
            }
            Stage::Forward(lines, _) => {
                let len = self.at_most_a_slice(self.file_len - lines.at());
                Want::Read { offset: lines.at(), len }
            }
            Stage::Done => Want::Done,
        }
    }

    /// Takes what was asked for; anything else is passed over.
    pub fn handle_slice(&mut self, offset: u64, bytes: &[u8]) {
        if self.next() != (Want::Read { offset, len: bytes.len() }) {
            return;
        }
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Check(position) if position.fits(bytes) => self.go_forward(offset, bytes),
            Stage::Check(_) => self.start_over(),
            Stage::Back(lines) => self.look_back(lines, bytes),
            Stage::Forward(mut lines, last_line) => {
                lines.cut(bytes, |at, line| self.handle_line(at, line));
                self.stage = Stage::Forward(lines, last_line);
            }
            Stage::Mark(end) => self.position = Some(Position::new(end, bytes)),
            Stage::Done => {}
        }
        self.settle();
    }

    /// The file has become shorter than `file_len`: begins anew with what it is now.
    pub fn handle_shrunk(&mut self, file_len: u64) {
        if matches!(self.stage, Stage::Done) {
            return;
        }
        self.shrunk += 1;
        if self.shrunk > SHRUNK_MAX {
            self.fail("becomes shorter again and again while it is read".into());
            return;
        }
        self.file_len = file_len;
        self.begin();
    }

    /// It cannot be read any further; what was found remains.
    pub fn fail(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
        self.stage = Stage::Done;
    }

    pub fn finish(self) -> Findings {
        let jobs = self.request.wanted.iter().map(|wanted| wanted.job);
        let cut_off = jobs.clone().zip(&self.sought).filter(|(_, one)| !one.is_covered());
        Findings {
            cut_off: cut_off.map(|(job, _)| job).collect(),
            jobs: jobs.zip(self.sought.into_iter().map(|one| one.trail.into_events())).collect(),
            others: self.others.into_values().flat_map(Trail::into_events).collect(),
            position: self.position,
            restarted: self.restarted,
            problem: self.problem,
        }
    }

    fn begin(&mut self) {
        self.sought =
            self.request.wanted.iter().map(|it| Sought::new(&it.id, it.since, it.until)).collect();
        self.others.clear();
        (self.seen, self.left_out, self.restarted) = (Seen::default(), None, false);
        match self.request.from {
            Some(position) if position.offset() <= self.file_len => {
                self.stage = Stage::Check(position);
                self.settle();
            }
            _ => self.start_over(),
        }
    }

    /// There is no position, or it is not of this file.
    fn start_over(&mut self) {
        self.restarted = self.request.from.is_some();
        self.stage = if self.restarted && self.request.prefix.is_some() {
            Stage::Forward(Forward::new(0), None)
        } else {
            Stage::Back(Backward::new(self.file_len))
        };
        self.settle();
    }

    fn go_forward(&mut self, offset: u64, before: &[u8]) {
        self.stage = Stage::Forward(Forward::new(offset + before.len() as u64), None);
    }

    /// Goes to the next stage when this one has nothing more to read.
    fn settle(&mut self) {
        match &mut self.stage {
            Stage::Check(position) if position.offset() == 0 => {
                self.go_forward(0, &[]);
                self.settle();
            }
            Stage::Back(lines) => {
                let reached = self.sought.iter().all(|one| one.reached);
                let last_line = lines.last_line().filter(|_| reached);
                if last_line.is_none() && lines.at() > 0 {
                    return;
                }
                let last_line = lines.last_line().unwrap_or(0);
                let first = self.sought.iter().filter_map(|one| one.first).min();
                let first = first.unwrap_or(last_line).min(last_line);
                self.stage = Stage::Forward(Forward::new(first), Some(last_line));
                self.settle();
            }
            Stage::Forward(lines, last_line) => {
                let last_line = last_line.filter(|&at| at > lines.at());
                if let Some(last_line) = last_line {
                    if self.sought.iter().all(|one| one.trail.is_closed()) {
                        *lines = Forward::new(last_line);
                    }
                }
                if lines.at() >= self.file_len {
                    self.handle_end();
                }
            }
            Stage::Mark(0) => {
                self.position = Some(Position::new(0, &[]));
                self.stage = Stage::Done;
            }
            _ => {}
        }
    }

    fn look_back(&mut self, mut lines: Backward, bytes: &[u8]) {
        let sought = &mut self.sought;
        lines.cut(bytes, |at, line| {
            if !self.sieve.lets_pass(line) {
                return;
            }
            for_each_event(line, |event, _| {
                let id = event.text(Word::JobId).unwrap_or_default();
                let jobs = sought.iter_mut().filter(|one| one.trail.id() == id && !one.reached);
                jobs.for_each(|one| one.look_back(at, event));
            });
        });
        // One time in each slice is enough to know that it goes too far back.
        if let Some(time) = first_line(bytes, lines.at() == 0).and_then(time_of) {
            for one in sought.iter_mut() {
                one.go_back_to(time);
            }
        }
        self.stage = Stage::Back(lines);
    }

    fn handle_line(&mut self, at: u64, line: &[u8]) {
        if !self.sieve.lets_pass(line) {
            return;
        }
        for_each_event(line, |event, data| {
            if !self.seen.is_new(event, data) {
                return;
            }
            let id = event.text(Word::JobId).unwrap_or_default();
            let mut is_wanted = false;
            for one in self.sought.iter_mut().filter(|one| one.trail.id() == id) {
                is_wanted = true;
                one.add(event);
            }
            let prefix = self.request.prefix.as_deref().filter(|_| self.request.from.is_some());
            if is_wanted || !prefix.is_some_and(|prefix| id.starts_with(prefix)) {
                return;
            }
            if let Some(trail) = self.others.get_mut(id) {
                trail.add(event);
            } else if self.others.len() < OTHERS_MAX {
                let mut trail = Trail::new(id, None, true);
                trail.add(event);
                self.others.insert(id.to_owned(), trail);
            } else {
                self.left_out.get_or_insert(at);
            }
        });
    }

    /// The last line may still be in the writing. What it has is taken, but only behind a whole one
    /// the next search goes on.
    fn handle_end(&mut self) {
        let Stage::Forward(lines, _) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return;
        };
        let (at, line) = lines.unfinished();
        self.handle_line(at, line);
        let end = if line.is_empty() || !is_whole(line) { at } else { self.file_len };
        if self.left_out.is_some() {
            let problem =
                format!("has more than {OTHERS_MAX} jobs; the next reading goes on behind them");
            self.problem.get_or_insert(problem);
        }
        self.stage = Stage::Mark(self.left_out.unwrap_or(end));
        self.settle();
    }

    fn at_most_a_slice(&self, rest: u64) -> usize {
        usize::try_from(rest).map_or(self.slice, |rest| rest.min(self.slice))
    }
}

impl Findings {
    /// Nothing, because of `problem`.
    pub fn failed(request: &Request, problem: String) -> Self {
        let jobs = request.wanted.iter().map(|wanted| (wanted.job, Vec::new())).collect();
        Self { jobs, problem: Some(problem), ..Self::default() }
    }
}

/// Read at once: small beside the memory of anything, and a thousandth of a second's work.
pub const SLICE: usize = 256 << 10;
/// More jobs than one program has at a time.
const OTHERS_MAX: usize = 1024;
/// Each time all is read anew; nobody rotates a file so often.
const SHRUNK_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a job leaves, line by line; times in seconds.
    fn lines(id: &str, story: &[(i64, &str)]) -> String {
        let line = |(time, what): &(i64, &str)| {
            let (event, data) = match *what {
                "COMPLETED" | "CANCELLED" => {
                    (format!("BLOCK_JOB_{what}"), format!("\"device\": \"{id}\""))
                }
                _ => {
                    let data = format!("\"status\": \"{what}\", \"id\": \"{id}\"");
                    ("JOB_STATUS_CHANGE".into(), data)
                }
            };
            format!(
                "{{\"timestamp\": {{\"seconds\": {time}, \"microseconds\": 0}}, \"event\": \
                 \"{event}\", \"data\": {{{data}}}}}\r\n"
            )
        };
        story.iter().map(line).collect()
    }

    fn job(id: &str, first: i64) -> String {
        let story = ["created", "running", "COMPLETED", "concluded", "null"];
        let times = (first..).zip(story);
        lines(id, &times.collect::<Vec<_>>())
    }

    fn wanted(id: &str, since: Option<i64>) -> Request {
        let since = since.map(|seconds| Timestamp { seconds, microseconds: 0 });
        let wanted = vec![Wanted { job: 7, id: id.into(), since, until: None }];
        Request { wanted, ..Request::default() }
    }

    /// Searches a file that stays as it is. With the number of bytes that were read.
    fn find(text: &[u8], request: &Request, slice: usize) -> (Findings, usize) {
        let mut search = Search::with_slice(request.clone(), text.len() as u64, slice);
        let mut read = 0;
        while let Want::Read { offset, len } = search.next() {
            assert!(len <= slice.max(mark_len(u64::MAX)));
            let at = usize::try_from(offset).unwrap();
            search.handle_slice(offset, &text[at..at + len]);
            read += len;
        }
        (search.finish(), read)
    }

    fn short(events: &[Event]) -> String {
        let word = |event: &Event| {
            let name = event.text(Word::Name).unwrap().trim_start_matches("BLOCK_JOB_");
            let time = event.timestamp.unwrap().seconds;
            format!("{time} {}", event.text(Word::StatusName).unwrap_or(name))
        };
        events.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// The same with every size of slice; what was found of the only wanted job, and of others.
    fn however_cut(text: &str, request: &Request) -> (String, String, Findings) {
        let (whole, _) = find(text.as_bytes(), request, SLICE);
        let told = (short(&whole.jobs[0].1), short(&whole.others));
        for slice in 1..text.len() + 2 {
            let (found, _) = find(text.as_bytes(), request, slice);
            assert_eq!((short(&found.jobs[0].1), short(&found.others)), told, "by {slice}");
            assert_eq!(found.position, whole.position, "by {slice}");
            assert_eq!(found.restarted, whole.restarted, "by {slice}");
        }
        assert_eq!(whole.problem, None);
        (told.0, told.1, whole)
    }

    fn found(text: &str, id: &str, since: Option<i64>) -> String {
        however_cut(text, &wanted(id, since)).0
    }

    #[test]
    fn the_last_incarnation_is_found_from_the_end() {
        let text = job("j", 1) + &job("other", 11) + &job("j", 21) + &job("other", 31);
        assert_eq!(found(&text, "j", None), "21 created, 22 running, 23 COMPLETED");
        assert_eq!(found(&text, "k", None), "");
        assert_eq!(found("", "j", None), "");
        let text = job("j", 1) + &lines("j", &[(11, "created"), (12, "running")]);
        assert_eq!(found(&text, "j", None), "11 created, 12 running");
    }

    #[test]
    fn a_file_that_does_not_go_back_to_a_job_is_cut_off() {
        let cut_off = |text: &str, since| {
            let (found, _) = find(text.as_bytes(), &wanted("j", since), SLICE);
            !found.cut_off.is_empty()
        };
        let story = lines("j", &[(10, "created"), (11, "running"), (12, "ready")]);
        let (_, behind) = story.split_once('\n').unwrap();
        for since in 10..=12 {
            assert!(!cut_off(&story, Some(since)), "{since}");
        }
        // Its beginning may be behind that moment.
        assert!(!cut_off(&story, Some(5)));
        assert!(!cut_off(behind, Some(11)));
        assert!(cut_off(behind, Some(10)));
        assert!(!cut_off(&(job("other", 10) + behind), Some(10)));
        assert!(!cut_off(&(job("other", 10)), Some(10)));
        assert!(cut_off(&(job("other", 11)), Some(10)));
        assert!(cut_off("", Some(10)));
        assert!(!cut_off("", None));
    }

    #[test]
    fn of_an_id_used_again_the_first_end_from_a_moment_on_is_found() {
        let text = job("j", 1) + &job("j", 1001) + &job("j", 2001);
        assert_eq!(found(&text, "j", Some(1002)), "1002 running, 1003 COMPLETED");
        assert_eq!(found(&text, "j", Some(1)), "1 created, 2 running, 3 COMPLETED");
        assert_eq!(found(&text, "j", Some(900)), "1001 created, 1002 running, 1003 COMPLETED");
        assert_eq!(found(&text, "j", Some(3000)), "");
    }

    #[test]
    fn several_qemus_one_after_the_other_are_kept_apart() {
        let killed = lines("j", &[(1, "created"), (2, "running")]);
        let text = format!("{killed}{{\"timest{}", job("j", 1001));
        assert_eq!(found(&text, "j", Some(2)), "2 running, 1001 created");
        assert_eq!(found(&text, "j", None), "1001 created, 1002 running, 1003 COMPLETED");
        // It lived at 500, which no line says. That the first event is a creation tells it.
        assert_eq!(found(&text, "j", Some(500)), "1001 created, 1002 running, 1003 COMPLETED");
    }

    #[test]
    fn a_qemu_without_status_changes_is_read_back_to_the_terminal_event() {
        let story = [(1, "COMPLETED"), (1001, "CANCELLED"), (2001, "COMPLETED")];
        let text = lines("j", &story);
        assert_eq!(found(&text, "j", None), "2001 COMPLETED");
        assert_eq!(found(&text, "j", Some(1000)), "1001 CANCELLED");
        assert_eq!(found(&text, "j", Some(2002)), "");
        let text = "x\r\n".repeat(SLICE) + &text;
        let (_, read) = find(text.as_bytes(), &wanted("j", None), 4096);
        assert!(read < 3 * 4096, "{read}");
    }

    #[test]
    fn no_more_is_read_than_what_matters() {
        let before: String = (0..9000).map(|i| job("other", 10 * i)).collect();
        let text = before.clone() + &job("j", 90_000);
        let read = |id, since| find(text.as_bytes(), &wanted(id, since), 4096).1;
        assert!(read("j", None) < 3 * 4096);
        assert!(read("j", Some(90_000)) < 8 * 4096);
        assert!(read("k", Some(90_000)) < 8 * 4096);
        assert!(read("k", None) > text.len());
        let after = job("j", -10) + &before;
        let (findings, read) = find(after.as_bytes(), &wanted("j", Some(-10)), 4096);
        assert_eq!(short(&findings.jobs[0].1), "-10 created, -9 running, -8 COMPLETED");
        assert!(read < after.len() + 3 * 4096, "forwards only as far as the end: {read}");
    }

    #[test]
    fn repeated_text_is_told_once() {
        let once = job("j", 1);
        let text = format!("{once}{}{once}{once}", &once[300..]);
        assert_eq!(found(&text, "j", None), "1 created, 2 running, 3 COMPLETED");
        assert_eq!(found(&text, "j", Some(2)), "2 running, 3 COMPLETED");
        let mut request = wanted("x", None);
        (request.prefix, request.from) = (Some("j".into()), Some(Position::new(0, b"")));
        let (_, others, _) = however_cut(&text, &request);
        assert_eq!(others, "1 created, 2 running, 3 COMPLETED");
    }

    #[test]
    fn from_a_position_only_what_is_new_is_read() {
        let old = job("j", 1) + &job("our-1", 11);
        let (_, _, findings) = however_cut(&old, &wanted("j", None));
        let text = old + &job("j", 21) + &job("our-2", 31) + &job("their-1", 41);
        let mut request = wanted("j", None);
        request.from = findings.position;
        request.prefix = Some("our-".into());
        let (found, others, findings) = however_cut(&text, &request);
        assert_eq!(found, "21 created, 22 running, 23 COMPLETED");
        assert_eq!(others, "31 created, 32 running, 33 COMPLETED");
        assert!(!findings.restarted);
        request.from = findings.position.map(|at| Position::parse(&at.to_string()).unwrap());
        let (found, others, again) = however_cut(&text, &request);
        assert_eq!((found.as_str(), others.as_str()), ("", ""));
        assert_eq!(again.position, findings.position);
        // Without a position nobody asks for the others.
        request.from = None;
        assert_eq!(however_cut(&text, &request).1, "");
    }

    #[test]
    fn a_position_of_another_file_is_noticed() {
        let old = job("j", 1) + &job("j", 11);
        let mut request = wanted("j", None);
        request.from = find(old.as_bytes(), &request, SLICE).0.position;
        let truncated = job("j", 21);
        let (found, _, findings) = however_cut(&truncated, &request);
        assert_eq!(found, "21 created, 22 running, 23 COMPLETED");
        assert!(findings.restarted);
        // Grown to the same length, and past it.
        for more in ["", "x"] {
            let replaced = job("j", 31) + &job("j", 41) + more;
            let (found, _, findings) = however_cut(&replaced, &request);
            assert_eq!(found, "41 created, 42 running, 43 COMPLETED");
            assert!(findings.restarted);
        }
        // Of a new file all is new.
        request.prefix = Some("our-".into());
        let replaced = job("our-1", 31) + &job("j", 41) + &job("j", 51);
        let (found, others, _) = however_cut(&replaced, &request);
        assert_eq!(found, "51 created, 52 running, 53 COMPLETED");
        assert_eq!(others, "31 created, 32 running, 33 COMPLETED");
    }

    #[test]
    fn a_line_in_the_writing_is_read_again_when_it_is_whole() {
        let text = job("j", 1);
        let whole = text.find("COMPLETED").unwrap();
        let whole = whole + text[whole..].find('\r').unwrap();
        let mut request = wanted("j", None);
        for cut in 0..=text.len() {
            request.from = None;
            let (before, _) = find(&text.as_bytes()[..cut], &request, 64);
            request.from = before.position;
            let (after, _) = find(text.as_bytes(), &request, 64);
            let both = [short(&before.jobs[0].1), short(&after.jobs[0].1)];
            let ends = both.iter().filter(|told| told.contains("3 COMPLETED")).count();
            assert_eq!(ends, 1, "cut at {cut}: {both:?}");
            // Taken as soon as it is whole, though its line has not ended.
            assert_eq!(both[0].contains("3 COMPLETED"), cut >= whole, "cut at {cut}");
            assert!(!after.restarted);
        }
    }

    #[test]
    fn a_hole_ends_a_line_as_a_newline_does() {
        let text = "\0".repeat(999) + &job("j", 1) + "\0\0";
        assert_eq!(found(&text, "j", None), "1 created, 2 running, 3 COMPLETED");
        let endless = "x".repeat(3 * SLICE * 4) + "\n" + &job("j", 1);
        let (findings, _) = find(endless.as_bytes(), &wanted("j", None), SLICE);
        assert_eq!(short(&findings.jobs[0].1), "1 created, 2 running, 3 COMPLETED");
        let endless = job("j", 1) + &"x".repeat(3 * SLICE * 4);
        let (findings, _) = find(endless.as_bytes(), &wanted("j", None), SLICE);
        assert_eq!(short(&findings.jobs[0].1), "1 created, 2 running, 3 COMPLETED");
    }

    #[test]
    fn a_clock_that_steps_back_a_little_hides_no_end() {
        let text = lines("j", &[(1000, "created"), (1001, "running"), (950, "COMPLETED")]);
        assert_eq!(found(&text, "j", Some(1001)), "1001 running, 950 COMPLETED");
        let text = job("x", 1) + &text + &job("x", 945);
        assert_eq!(found(&text, "j", Some(1000)), "1000 created, 1001 running, 950 COMPLETED");
    }

    #[test]
    fn several_jobs_are_found_at_once_also_two_of_one_id() {
        let text = job("a", 1) + &job("b", 1001) + &job("a", 2001);
        let at = |seconds| Some(Timestamp { seconds, microseconds: 0 });
        let one = |job, id: &str, since| Wanted { job, id: id.into(), since, until: None };
        let wanted = vec![one(1, "a", at(2)), one(2, "a", None), one(3, "b", at(1001))];
        let (findings, _) = find(text.as_bytes(), &Request { wanted, ..Request::default() }, 100);
        let told: Vec<_> =
            findings.jobs.iter().map(|(job, events)| format!("{job}: {}", short(events))).collect();
        assert_eq!(
            told,
            [
                "1: 2 running, 3 COMPLETED",
                "2: 2001 created, 2002 running, 2003 COMPLETED",
                "3: 1001 created, 1002 running, 1003 COMPLETED"
            ]
        );
    }

    #[test]
    fn of_a_job_that_was_over_by_a_moment_nothing_later_is_found() {
        let text = job("a", 1) + &job("a", 1001) + &job("a", 2001);
        let found = |since: Option<i64>, until| {
            let mut request = wanted("a", since);
            request.wanted[0].until = Some(Timestamp { seconds: until, microseconds: 0 });
            [40, 100, 10_000]
                .map(|slice| short(&find(text.as_bytes(), &request, slice).0.jobs[0].1))
        };
        for (since, until, events) in [
            (None, 1500, "1001 created, 1002 running, 1003 COMPLETED"),
            (None, 1002, "1001 created, 1002 running"),
            (None, 1000, "1 created, 2 running, 3 COMPLETED"),
            (None, 0, ""),
            (Some(500), 1004, "1001 created, 1002 running, 1003 COMPLETED"),
            (Some(1500), 1900, ""),
        ] {
            assert_eq!(found(since, until), [events; 3], "{since:?} {until}");
        }
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_read_anew_and_not_for_ever() {
        let (old, new) = (job("j", 1) + &job("j", 11), job("j", 21));
        let mut search = Search::with_slice(wanted("j", None), old.len() as u64, 50);
        let give = |search: &mut Search, text: &str, offset: u64, len: usize| {
            let at = usize::try_from(offset).unwrap();
            search.handle_slice(offset, &text.as_bytes()[at..at + len]);
        };
        let Want::Read { offset, len } = search.next() else { panic!() };
        give(&mut search, &old, offset, len);
        search.handle_shrunk(new.len() as u64);
        // A slice that was not asked for is passed over.
        give(&mut search, &old, offset, len);
        while let Want::Read { offset, len } = search.next() {
            give(&mut search, &new, offset, len);
        }
        search.handle_shrunk(0);
        let findings = search.finish();
        assert_eq!(short(&findings.jobs[0].1), "21 created, 22 running, 23 COMPLETED");
        assert_eq!(findings.problem, None);

        let mut search = Search::new(wanted("j", None), 900);
        (0..=SHRUNK_MAX).for_each(|i| search.handle_shrunk(800 - i as u64));
        assert_eq!(search.next(), Want::Done);
        let findings = search.finish();
        assert!(findings.problem.unwrap().contains("shorter again and again"));
        assert_eq!(findings.jobs.len(), 1);
        assert_eq!(findings.position, None);
    }

    #[test]
    fn of_too_many_others_the_rest_comes_with_the_next_reading() {
        let text: String = (0..=OTHERS_MAX).map(|i| job(&format!("our-{i:04}"), 1)).collect();
        let mut request = wanted("x", None);
        (request.prefix, request.from) = (Some("our-".into()), Some(Position::new(0, b"")));
        let (findings, _) = find(text.as_bytes(), &request, SLICE);
        assert_eq!(findings.others.len(), 3 * OTHERS_MAX);
        assert!(findings.problem.unwrap().contains("more than 1024 jobs"));
        request.from = findings.position;
        let (findings, _) = find(text.as_bytes(), &request, SLICE);
        assert_eq!(findings.others[0].text(Word::JobId), Some("our-1024"));
        assert_eq!((findings.others.len(), findings.problem), (3, None));
    }
}
