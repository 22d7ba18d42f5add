//! Doing what a model asks for.

use futures_util::{StreamExt, TryStreamExt, stream};
use plugin_api::serde_json::{self, Map, Value};
use plugin_api::{EmitError, Event, Part, RunContext, RunError, ServiceErrorCode, tracing};

use crate::api::{Call, ImageUrl, Message};
use crate::offer::{Offer, Target};
use crate::own::{self, Done};
use crate::profiles::Profiles;

/// The most calls of one answer that run at a time; the others wait.
const AT_A_TIME: usize = 16;

/// The most bytes of a result that a model is given.
const RESULT_BYTES: usize = 256 * 1024;

/// The most bytes of a result that the stream is shown of the agent's own tools; the host sees to the others.
const SHOWN_BYTES: usize = 64 * 1024;

/// The tools of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tools<'a> {
    pub(crate) ctx: &'a RunContext,
    pub(crate) offer: &'a Offer,
    pub(crate) profiles: &'a Profiles,
}

/// What a call came to.
struct Output {
    text: String,
    success: bool,
    images: Vec<ImageUrl>,
    profile: Option<String>,
}

impl Output {
    fn of(done: Done) -> Self {
        let success = done.result.is_ok();
        let (Ok(text) | Err(text)) = done.result;
        Self {
            text,
            success,
            images: Vec::new(),
            profile: done.profile,
        }
    }

    fn failed(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            success: false,
            images: Vec::new(),
            profile: None,
        }
    }
}

/// What calls came to.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// Their results, in the order of the calls.
    pub(crate) messages: Vec<Message>,
    /// The profile that is in force from now on; the last call that said so decides.
    pub(crate) profile: Option<String>,
}

impl Tools<'_> {
    /// Runs calls side by side. A call that fails has a result, too.
    ///
    /// # Errors
    ///
    /// The run is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the calls.
    pub(crate) async fn call_all(&self, calls: Vec<Call>) -> Result<Results, RunError> {
        stream::iter(calls)
            .map(|call| self.call(call))
            .buffered(AT_A_TIME)
            .try_fold(Results::default(), async |mut all, (message, profile)| {
                all.messages.push(message);
                all.profile = profile.or(all.profile);
                Ok(all)
            })
            .await
    }

    async fn call(&self, call: Call) -> Result<(Message, Option<String>), RunError> {
        let output = match arguments(&call.arguments) {
            Ok(args) => match self.offer.target(&call.name) {
                Target::Host(name) => self.host_tool(&name, args).await?,
                Target::Own(own) => {
                    let work = async |args: &Value| {
                        let done = own::perform(&own, args, self.ctx, self.profiles).await?;
                        Ok(Output::of(done))
                    };
                    self.own(&call, args, work).await?
                }
                Target::LeftOut => {
                    let problem = format!("There is no tool `{}` under this profile.", call.name);
                    self.own(&call, args, async |_: &Value| Ok(Output::failed(problem)))
                        .await?
                }
            },
            Err(problem) => {
                let args = Value::String(call.arguments.clone());
                self.own(&call, args, async |_: &Value| Ok(Output::failed(problem)))
                    .await?
            }
        };
        let text = match output.success {
            true => cut(&output.text, RESULT_BYTES),
            false => format!("Error: {}", cut(&output.text, RESULT_BYTES)),
        };
        let message = Message::ToolResult {
            call_id: call.id,
            text,
            images: output.images,
        };
        Ok((message, output.profile))
    }

    async fn host_tool(&self, name: &str, args: Value) -> Result<Output, RunError> {
        match self.ctx.call_tool(name, args).await {
            Ok(output) => Ok(Output {
                text: output.text,
                success: output.success,
                images: output.parts.into_iter().filter_map(image).collect(),
                profile: None,
            }),
            Err(error) if error.code == ServiceErrorCode::Cancelled => Err(RunError::Stopped),
            Err(error) => Ok(Output::failed(error.to_string())),
        }
    }

    /// Does what the agent does itself, and shows it as the host shows its tools.
    async fn own(
        &self,
        call: &Call,
        args: Value,
        work: impl AsyncFnOnce(&Value) -> Result<Output, RunError>,
    ) -> Result<Output, RunError> {
        self.show(Event::tool_started(&*call.id, &*call.name, args.clone()))
            .await?;
        let output = work(&args).await?;
        let event = Event::tool_call(&*call.id, &*call.name)
            .args(args)
            .result(cut(&output.text, SHOWN_BYTES))
            .success(output.success);
        self.show(event.into()).await?;
        Ok(output)
    }

    /// Shows an event, unless it is more than the host shows of anything.
    async fn show(&self, event: Event) -> Result<(), RunError> {
        match self.ctx.emit(event).await {
            Err(EmitError::TooLarge) => {
                tracing::warn!("a tool call is too large to be shown");
                Ok(())
            }
            shown => Ok(shown?),
        }
    }
}

/// What the model wrote as arguments: an object, or nothing.
fn arguments(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(args @ Value::Object(_)) => Ok(args),
        Ok(_) => Err(format!(
            "The arguments must be a JSON object, and were: {}",
            cut(text, SHOWN_BYTES)
        )),
        Err(error) => Err(format!(
            "The arguments are not JSON ({error}). They were: {}",
            cut(text, SHOWN_BYTES)
        )),
    }
}

/// The arguments as they are sent back to the model: servers that read them refuse what is not JSON.
pub(crate) fn readable(arguments: &str) -> String {
    match self::arguments(arguments) {
        Ok(args) => args.to_string(),
        Err(_) => "{}".to_owned(),
    }
}

fn image(part: Part) -> Option<ImageUrl> {
    match part {
        Part::Image {
            media_type, data, ..
        } => Some(ImageUrl(format!("data:{media_type};base64,{data}"))),
        _ => None,
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    format!("{} […] ({} bytes in all)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_an_object_or_nothing() {
        assert_eq!(arguments(" "), Ok(json!({})));
        assert_eq!(arguments(r#"{"a": 1}"#), Ok(json!({"a": 1})));
        let list = arguments("[1]").unwrap_err();
        assert_eq!(list, "The arguments must be a JSON object, and were: [1]");
        let broken = arguments(r#"{"a": "#).unwrap_err();
        assert!(
            broken.starts_with("The arguments are not JSON ("),
            "{broken}"
        );
        assert!(broken.ends_with(r#"They were: {"a": "#), "{broken}");
        assert_eq!(readable(r#"{"a": "#), "{}");
        assert_eq!(readable(""), "{}");
    }

    #[test]
    fn long_results_are_cut_between_letters() {
        assert_eq!(cut("äää", 3), "ä […] (6 bytes in all)");
        assert_eq!(cut("äää", 6), "äää");
    }
}
