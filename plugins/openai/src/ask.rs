//! Asking the model once, as often as that takes.

use plugin_api::{RunError, tokio, tracing};

use crate::OpenAi;
use crate::api::{Fault, Prompt, Reply};
use crate::voice::{Show, Voice};

impl OpenAi {
    /// Asks the model and shows what it answers. A request that fails before any of its answer was shown is sent
    /// again, as often as is configured; afterwards it is not, since what was shown cannot be taken back.
    pub(crate) async fn ask(
        &self,
        prompt: &Prompt<'_>,
        show: Show,
        voice: &mut Voice<'_>,
    ) -> Result<Reply, RunError> {
        let body = prompt.body(self.config.api);
        let mut failures = 0;
        loop {
            voice.begin(show);
            let fault = match self.attempt(&body, voice).await? {
                Ok(reply) => {
                    voice.end(&reply.said.thinking).await?;
                    if reply.is_cut {
                        tracing::warn!("the model's answer has reached its greatest length");
                    }
                    return Ok(reply);
                }
                Err(fault) => fault,
            };
            voice.break_off().await?;
            failures += 1;
            let wait = match voice.has_shown() {
                true => None,
                false => self.policy.wait(failures, &fault),
            };
            let Some(wait) = wait else {
                return Err(told(&fault));
            };
            tracing::warn!(%fault, wait_ms = wait.as_millis() as u64, failures, "the model is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    /// One request. Of the two results the outer one ends the run.
    async fn attempt(
        &self,
        body: &plugin_api::serde_json::Value,
        voice: &mut Voice<'_>,
    ) -> Result<Result<Reply, Fault>, RunError> {
        let mut answer = match self.client.ask(body).await {
            Ok(answer) => answer,
            Err(fault) => return Ok(Err(fault)),
        };
        loop {
            match answer.next().await {
                Ok(Some(pieces)) => {
                    for piece in pieces {
                        voice.piece(piece).await?;
                    }
                }
                Ok(None) => return Ok(answer.finish()),
                Err(fault) => return Ok(Err(fault)),
            }
        }
    }
}

fn told(fault: &Fault) -> RunError {
    match fault.retry_after() {
        Some(wait) if !wait.is_zero() && fault.is_passing() => RunError::agent(format_args!(
            "{fault} (It asks to come back in {} seconds.)",
            wait.as_secs_f32()
        )),
        _ => RunError::agent(fault),
    }
}
