//! How instances are, by their own account.

use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::Health;

/// The longest text of a health that is kept, in bytes.
const HEALTH_TEXT: usize = 2000;

/// What an instance says of how it is.
#[derive(Debug)]
pub(crate) struct HealthCell {
    /// The configured name of the instance.
    instance: String,
    now: Mutex<Health>,
}

impl HealthCell {
    pub(crate) fn new(instance: &str) -> Arc<Self> {
        let (instance, now) = (instance.to_owned(), Mutex::default());
        Arc::new(Self { instance, now })
    }

    pub(crate) fn get(&self) -> Health {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// Takes what it says now, and logs it if it is another; `plugin` is the configured name of its library.
    pub(crate) fn set(&self, plugin: &str, health: Health) {
        let short = |text: String| text[..text.floor_char_boundary(HEALTH_TEXT)].to_owned();
        let health = match health {
            Health::Degraded(text) => Health::Degraded(short(text)),
            Health::Failing(text) => Health::Failing(short(text)),
            other => other,
        };
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == health {
            return;
        }
        let before = std::mem::replace(&mut *now, health.clone());
        drop(now);
        let (instance, text) = (&self.instance, health.text());
        match health {
            // Such as when the next attempt is.
            _ if before.as_str() == health.as_str() => {
                tracing::info!(plugin, instance, "it is as before: {text}");
            }
            Health::Ok => tracing::info!(plugin, instance, "it is well again"),
            Health::Failing(_) => tracing::error!(plugin, instance, "it does not work: {text}"),
            _ => tracing::warn!(plugin, instance, "it works in part: {text}"),
        }
    }
}
