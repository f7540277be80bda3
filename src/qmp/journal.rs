//! stub
use crate::model::{Event, Timestamp};
#[derive(Debug)]
pub struct Wanted {
    pub job: u64,
    pub id: String,
    pub since: Option<Timestamp>,
}
#[derive(Debug)]
pub struct Position;
#[derive(Debug)]
pub struct Request {
    pub wanted: Vec<Wanted>,
    pub prefix: Option<String>,
    pub from: Option<Position>,
}
#[derive(Debug, Default)]
pub struct Findings {
    pub jobs: Vec<(u64, Vec<Event>)>,
    pub others: Vec<Event>,
    pub position: Option<Position>,
    pub problem: Option<String>,
}
