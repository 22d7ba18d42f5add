//! The session's earlier turns as messages.

use plugin_api::serde_json::Value;
use plugin_api::{HistoryTurn, RunContext, RunError};

use crate::api::calls::own_id;
use crate::api::{Call, Message, Said};
use crate::offer::wire_name;

/// Turns in a page.
const PAGE: u32 = 50;

/// A message, and the turn of the session that it is of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Past {
    pub(crate) turn: u64,
    pub(crate) message: Message,
}

/// The messages of the turns after `after`, of the latest `most` turns.
pub(crate) async fn load(ctx: &RunContext, after: u64, most: usize) -> Result<Vec<Past>, RunError> {
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
    let skipped = turns.len().saturating_sub(most);
    Ok(messages(
        turns[skipped..].iter().filter(|turn| turn.turn > after),
    ))
}

fn messages<'a>(turns: impl Iterator<Item = &'a HistoryTurn>) -> Vec<Past> {
    let mut past = Builder::default();
    for turn in turns {
        past.turn = turn.turn;
        if turn.role == "user" {
            past.push(Message::user(user_text(turn)));
        } else {
            past.assistant(turn);
        }
    }
    past.messages
}

/// What the user said. The host's notes speak of images that are no longer there.
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
        let past = messages(turns.iter());
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
        let past = messages([stopped].iter());
        assert_eq!(
            past[0].message,
            said("[Stopped by the user before there was an answer.]", &[])
        );
    }

    #[test]
    fn images_of_earlier_turns_are_told_to_be_gone() {
        let mut user = turn(1, "user", "look\n\n[1 image attached inline — …]", &[]);
        user.user_text = Some("look".to_owned());
        user.images = vec![Default::default()];
        let past = messages([user].iter());
        let expected = "look\n\n[1 image came with this message; not shown again.]";
        assert_eq!(past[0].message, Message::user(expected));
    }
}
