//! The session's earlier turns as messages.

use std::collections::HashMap;

use plugin_api::serde_json::Value;
use plugin_api::{HistoryTurn, RunContext, RunError, tracing};

use crate::api::calls::own_id;
use crate::api::{Call, ImageUrl, Message, Said};
use crate::offer::wire_name;

/// Turns in a page.
const PAGE: u32 = 50;

/// A message, and the turn of the session that it is of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Past {
    pub(crate) turn: u64,
    pub(crate) message: Message,
}

/// Images by the turns that they came with.
type Images = HashMap<u64, Vec<ImageUrl>>;

/// What was said before.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) past: Vec<Past>,
    /// What whoever gave the latest answer has kept with it; none where that has failed.
    pub(crate) latest: Option<Value>,
}

/// The messages of the turns after `after`, of the latest `most` turns, with the latest images, at most so many.
pub(crate) async fn load(
    ctx: &RunContext,
    after: u64,
    most: usize,
    most_images: usize,
) -> Result<Loaded, RunError> {
    let mut pages = Vec::new();
    let mut count = 0;
    let mut history = ctx.history().page_size(PAGE);
    while count < most {
        let Some(page) = history.next_page().await? else {
            break;
        };
        count += page.len();
        let reached = page.first().is_some_and(|turn| turn.turn <= after);
        pages.push(page);
        if reached {
            break;
        }
    }
    let turns: Vec<_> = pages.into_iter().rev().flatten().collect();
    let answers = turns.iter().rev().filter(|turn| turn.role != "user");
    let latest = answers.map(|turn| turn.data.clone()).next().flatten();
    let skipped = turns.len().saturating_sub(most);
    let turns = turns[skipped..].iter().filter(|turn| turn.turn > after);
    let images = images(ctx, turns.clone().rev(), most_images).await?;
    let past = messages(turns, images);
    Ok(Loaded { past, latest })
}

/// The images of the latest turns, those of a turn together. The host lends only so many bytes of them.
async fn images<'a>(
    ctx: &RunContext,
    latest_first: impl Iterator<Item = &'a HistoryTurn>,
    most: usize,
) -> Result<Images, RunError> {
    let mut left = most;
    let mut images = Images::new();
    // Whether the answer to the turn has failed, and the next answer too: it may be for the images. A model that takes
    // none would refuse every later message as well.
    let mut failed = [false; 2];
    for turn in latest_first {
        if turn.role != "user" {
            let came_to_nothing = turn.content.is_empty() && !turn.events.iter().any(is_call);
            failed = [turn.status == "error" && came_to_nothing, failed[0]];
        }
        if turn.images.is_empty() || failed == [true, true] {
            continue;
        }
        let Some(rest) = left.checked_sub(turn.images.len()) else {
            break;
        };
        left = rest;
        match images_of(ctx, turn).await {
            Ok(of) => drop(images.insert(turn.turn, of)),
            Err(RunError::Stopped) => return Err(RunError::Stopped),
            Err(error) => {
                // The model is told that there were some.
                tracing::debug!(turn = turn.turn, %error, "images of an earlier turn are not shown again");
                break;
            }
        }
    }
    Ok(images)
}

async fn images_of(ctx: &RunContext, turn: &HistoryTurn) -> Result<Vec<ImageUrl>, RunError> {
    let mut images = Vec::new();
    for (place, _) in (0u32..).zip(&turn.images) {
        let image = ctx.history_image(turn.turn, place).await?;
        images.push(ImageUrl::of(image.media_type(), &image.bytes()?));
    }
    Ok(images)
}

fn messages<'a>(turns: impl Iterator<Item = &'a HistoryTurn>, mut images: Images) -> Vec<Past> {
    let mut past = Builder::default();
    for turn in turns {
        past.turn = turn.turn;
        if turn.role == "user" {
            past.push(match images.remove(&turn.turn) {
                // As it was sent at first, notes included.
                Some(images) => Message::User {
                    text: turn.content.clone(),
                    images,
                },
                None => Message::user(user_text(turn)),
            });
        } else {
            past.assistant(turn);
        }
    }
    past.messages
}

/// What the user said, without images. The host's notes speak of them as if they were there.
fn user_text(turn: &HistoryTurn) -> String {
    let Some(text) = turn.user_text.as_ref().filter(|_| !turn.images.is_empty()) else {
        return turn.content.clone();
    };
    let images = turn.images.len();
    let s = if images == 1 { "" } else { "s" };
    let mut text =
        format!("{text}\n\n[{images} image{s} came with this message; not shown again.]");
    for file in &turn.files {
        text += &format!("\n[Uploaded file: {} → {}]", file.name, file.path);
    }
    text
}

/// Messages in the making.
#[derive(Default)]
struct Builder {
    turn: u64,
    messages: Vec<Past>,
    calls: u64,
}

impl Builder {
    fn push(&mut self, message: Message) {
        self.messages.push(Past {
            turn: self.turn,
            message,
        });
    }

    /// An assistant's turn: what it said, with the tools that it called in between and what they gave.
    fn assistant(&mut self, turn: &HistoryTurn) {
        let mut said = Said::default();
        let mut results = Vec::new();
        let called = turn.events.iter().any(is_call);
        // Without tools the content is all there is, and is never cut.
        if !called {
            said.text.clone_from(&turn.content);
        }
        for event in turn.events.iter().filter(|_| called) {
            if event["type"] == "stream_delta" {
                if !said.calls.is_empty() {
                    self.flush(&mut said, &mut results);
                }
                said.text
                    .push_str(event["delta"].as_str().unwrap_or_default());
            } else if is_call(event) {
                self.calls += 1;
                let call = Call {
                    id: own_id(self.calls),
                    name: wire_name(event["tool"].as_str().unwrap_or_default()),
                    // What was no object is not sent again: servers that read arguments refuse it.
                    arguments: match &event["args"] {
                        args @ Value::Object(_) => args.to_string(),
                        _ => "{}".to_owned(),
                    },
                };
                let text = event["result"].as_str().unwrap_or_default();
                results.push(Message::ToolResult {
                    call_id: call.id.clone(),
                    text: text.to_owned(),
                    images: Vec::new(),
                });
                said.calls.push(call);
            }
        }
        if said.text.is_empty() && said.calls.is_empty() {
            said.text = nothing(&turn.status).to_owned();
        }
        self.flush(&mut said, &mut results);
    }

    fn flush(&mut self, said: &mut Said, results: &mut Vec<Message>) {
        // The break between two paragraphs, which the agent itself has put there.
        said.text = said.text.trim_start_matches('\n').to_owned();
        self.push(Message::Assistant(std::mem::take(said)));
        for result in results.drain(..) {
            self.push(result);
        }
    }
}

fn is_call(event: &Value) -> bool {
    event["type"] == "tool_call" && event["is_subagent"] != true
}

/// In place of an answer that has no text.
fn nothing(status: &str) -> &'static str {
    match status {
        "stopped" => "[Stopped by the user before there was an answer.]",
        "completed" => "[No text.]",
        _ => "[There was an error, and no answer.]",
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    fn turn(number: u64, role: &str, content: &str, events: &[Value]) -> HistoryTurn {
        let mut turn = HistoryTurn::default();
        turn.turn = number;
        turn.role = role.to_owned();
        turn.content = content.to_owned();
        turn.events = events.to_vec();
        turn
    }

    fn said(text: &str, calls: &[(&str, &str, &str)]) -> Message {
        let call = |(id, name, arguments): &(&str, &str, &str)| Call {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
        };
        Message::Assistant(Said {
            text: text.to_owned(),
            calls: calls.iter().map(call).collect(),
            ..Said::default()
        })
    }

    fn result(id: &str, text: &str) -> Message {
        Message::ToolResult {
            call_id: id.to_owned(),
            text: text.to_owned(),
            images: Vec::new(),
        }
    }

    #[test]
    fn tools_stand_between_what_was_said_before_and_after() {
        let call = |tool: &str, args: Value, result: &str, is_subagent: bool| {
            json!({"type": "tool_call", "tool": tool, "args": args, "result": result,
                "success": true, "is_subagent": is_subagent, "metadata": null})
        };
        let events = [
            json!({"type": "stream_delta", "delta": "Let me "}),
            json!({"type": "stream_delta", "delta": "see."}),
            call("a.b", json!({"x": 1}), "one", false),
            call("inner", json!({}), "hidden", true),
            call("b", json!({}), "two", false),
            json!({"type": "stream_delta", "delta": "Done."}),
        ];
        let turns = [
            turn(1, "user", "hello", &[]),
            turn(2, "assistant", "Let me see.Done.", &events),
        ];
        let past = messages(turns.iter(), Images::new());
        assert_eq!(
            past.iter().map(|past| past.turn).collect::<Vec<_>>(),
            [1, 2, 2, 2, 2]
        );
        let messages: Vec<_> = past.into_iter().map(|past| past.message).collect();
        let expected = [
            Message::user("hello"),
            said(
                "Let me see.",
                &[("call00001", "a_b", r#"{"x":1}"#), ("call00002", "b", "{}")],
            ),
            result("call00001", "one"),
            result("call00002", "two"),
            said("Done.", &[]),
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn an_answer_that_never_came_is_said_to_be_none() {
        let mut stopped = turn(2, "assistant", "", &[]);
        stopped.status = "stopped".to_owned();
        let past = messages([stopped].iter(), Images::new());
        assert_eq!(
            past[0].message,
            said("[Stopped by the user before there was an answer.]", &[])
        );
    }

    #[test]
    fn images_that_are_not_shown_again_are_told() {
        let mut user = turn(1, "user", "look\n\n[1 image attached inline — …]", &[]);
        user.user_text = Some("look".to_owned());
        user.images = vec![Default::default()];
        let turns = [user];
        let past = messages(turns.iter(), Images::new());
        let expected = "look\n\n[1 image came with this message; not shown again.]";
        assert_eq!(past[0].message, Message::user(expected));
        // And those that are shown stand where they stood.
        let images = vec![ImageUrl::of("image/png", b"x")];
        let past = messages(turns.iter(), Images::from([(1, images.clone())]));
        let text = turns[0].content.clone();
        assert_eq!(past[0].message, Message::User { text, images });
    }
}
