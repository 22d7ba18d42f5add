//! Where requests go, with which headers, and which of these nobody may read.

use std::cmp::Reverse;
use std::fmt;

use plugin_api::CreateError;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::config::{Api, Config};

/// The most characters of a server's own words that are passed on.
const MESSAGE_CHARS: usize = 1000;

/// A secret is looked for in what a server writes if it has at least so many bytes; a shorter one is none.
const SECRET_BYTES: usize = 6;

/// What stands in many an address, and is no secret.
const VERSION: &str = "api-version";

/// What must not be read anywhere.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secrets {
    /// A text from outside, fit to be passed on.
    pub(crate) fn without(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret, "***");
        }
        match text.char_indices().nth(MESSAGE_CHARS) {
            Some((end, _)) => format!("{} […]", &text[..end]),
            None => text,
        }
    }
}

pub(crate) fn url(base: &str, api: Api) -> Result<Url, CreateError> {
    // Not shown: it may hold a password.
    let wrong = |problem: &str| CreateError::config(format_args!("base_url: {problem}"));
    let lower = base.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err(wrong("must begin with http:// or https://"));
    }
    let mut url = Url::parse(base).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "must not hold a user or a password; use api_key or headers",
        ));
    }
    let path = url.path().trim_end_matches('/');
    for own in [Api::ChatCompletions, Api::Responses] {
        let own = own.path().join("/");
        if path.ends_with(&format!("/{own}")) {
            let problem = format!("must end before `/{own}`, which is added to it");
            return Err(wrong(&problem));
        }
    }
    url.path_segments_mut()
        .map_err(|()| wrong("must have a path"))?
        .pop_if_empty()
        .extend(api.path());
    Ok(url)
}

pub(crate) fn headers(config: &Config) -> Result<(HeaderMap, Secrets), CreateError> {
    let mut headers = HeaderMap::new();
    let mut secrets = Vec::new();
    let mut add = |key: &str, name: HeaderName, prefix: &str, value: &str| {
        let mut header = HeaderValue::from_str(&format!("{prefix}{value}")).map_err(|_| {
            CreateError::config(format_args!("{key}: has letters that no header can have"))
        })?;
        header.set_sensitive(true);
        headers.insert(name, header);
        secrets.push(value.to_owned());
        // Behind a scheme, as in `Basic …`.
        if let Some((_, token)) = value
            .split_once(' ')
            .filter(|(_, rest)| !rest.contains(' '))
        {
            secrets.push(token.to_owned());
        }
        Ok::<_, CreateError>(())
    };
    if let Some(key) = &config.api_key {
        // A file usually ends with a line break.
        let key = key.expose().trim();
        if key.is_empty() {
            return Err(CreateError::config("api_key: must not be empty"));
        }
        add("api_key", AUTHORIZATION, "Bearer ", key)?;
    }
    for (name, value) in &config.headers {
        let key = format!("headers.{name}");
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| CreateError::config(format_args!("{key}: is no name of a header")))?;
        add(&key, name, "", value.expose().trim())?;
    }
    // The longest first, should one hold another.
    // Some take their key in the address, which a server may quote.
    if let Some((_, query)) = config.base_url.split_once('?') {
        let values = query.split('&').filter_map(|pair| pair.split_once('='));
        let values = values.filter(|(key, _)| *key != VERSION);
        secrets.extend(values.map(|(_, value)| value.to_owned()));
    }
    if let Ok(url) = Url::parse(&config.base_url) {
        let values = url.query_pairs().filter(|(key, _)| key != VERSION);
        secrets.extend(values.map(|(_, value)| value.into_owned()));
    }
    secrets.retain(|secret| secret.len() >= SECRET_BYTES);
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    Ok((headers, Secrets(secrets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_api_comes_behind_the_base() {
        let url = |base| url(base, Api::ChatCompletions).map(String::from);
        let plain = url("http://localhost:11434/v1").unwrap();
        assert_eq!(plain, "http://localhost:11434/v1/chat/completions");
        assert_eq!(url("http://localhost:11434/v1/").unwrap(), plain);
        assert_eq!(
            url("https://a.example/openai?api-version=1").unwrap(),
            "https://a.example/openai/chat/completions?api-version=1"
        );
        for wrong in ["ftp://a", "a", "http://me:secret@a/v1", "data:x"] {
            let error = url(wrong).unwrap_err().to_string();
            assert!(error.contains("base_url: "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        for wrong in ["http://a/v1/chat/completions", "http://a/v1/responses/"] {
            let error = url(wrong).unwrap_err().to_string();
            assert!(error.contains("base_url: must end before `/"), "{error}");
        }
        let error = url("127.0.0.1:11434/v1").unwrap_err().to_string();
        assert!(
            error.ends_with("base_url: must begin with http:// or https://"),
            "{error}"
        );
    }

    #[test]
    fn a_servers_words_are_passed_on_without_secrets_and_not_endlessly() {
        let secrets = Secrets(vec!["sk-12345".to_owned()]);
        assert_eq!(secrets.without("wrong: sk-12345!"), "wrong: ***!");
        let long = secrets.without(&"ä".repeat(2000));
        assert_eq!(long.chars().count(), MESSAGE_CHARS + 4);
    }
}
