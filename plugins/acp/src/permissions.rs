//! What an agent that asks for leave is answered, as long as nobody asks the user.

use agent_client_protocol_schema::v1::{
    PermissionOption, PermissionOptionKind, RequestPermissionOutcome, SelectedPermissionOutcome,
    ToolKind,
};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;

/// One of two answers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(crate = "plugin_api::serde", rename_all = "snake_case")]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) enum Answer {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// The answer to everything, or to each kind of tool.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", untagged)]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) enum Permissions {
    /// To everything.
    All(Answer),
    /// To each kind.
    ByKind(ByKind),
}

/// Answers by the kind of a tool, as the agent tells it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields, default)]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) struct ByKind {
    /// Reading files or data.
    read: Option<Answer>,
    /// Changing files.
    edit: Option<Answer>,
    /// Removing files or data.
    delete: Option<Answer>,
    /// Moving and renaming files.
    r#move: Option<Answer>,
    /// Looking for something.
    search: Option<Answer>,
    /// Running commands and code.
    execute: Option<Answer>,
    /// Thinking and planning.
    think: Option<Answer>,
    /// Fetching from the network.
    fetch: Option<Answer>,
    /// Going over to another mode of work.
    switch_mode: Option<Answer>,
    /// What is of no such kind.
    other: Option<Answer>,
    /// What is not in this table. Left out: `deny`.
    default: Option<Answer>,
}

impl Default for Permissions {
    fn default() -> Self {
        Self::ByKind(ByKind {
            read: Some(Answer::Allow),
            search: Some(Answer::Allow),
            think: Some(Answer::Allow),
            ..ByKind::default()
        })
    }
}

impl Permissions {
    pub(crate) fn answer(&self, kind: ToolKind) -> Answer {
        let by_kind = match self {
            Self::All(answer) => return *answer,
            Self::ByKind(by_kind) => by_kind,
        };
        let answer = match kind {
            ToolKind::Read => by_kind.read,
            ToolKind::Edit => by_kind.edit,
            ToolKind::Delete => by_kind.delete,
            ToolKind::Move => by_kind.r#move,
            ToolKind::Search => by_kind.search,
            ToolKind::Execute => by_kind.execute,
            ToolKind::Think => by_kind.think,
            ToolKind::Fetch => by_kind.fetch,
            ToolKind::SwitchMode => by_kind.switch_mode,
            // A kind that a later protocol has is none that the operator has thought of.
            _ => by_kind.other,
        };
        answer.or(by_kind.default).unwrap_or(Answer::Deny)
    }
}

/// The option that says this, the one for this once before the one for good. None: the agent offers none.
pub(crate) fn choose(answer: Answer, options: &[PermissionOption]) -> Option<&PermissionOption> {
    let kinds = match answer {
        Answer::Allow => [
            PermissionOptionKind::AllowOnce,
            PermissionOptionKind::AllowAlways,
        ],
        Answer::Deny => [
            PermissionOptionKind::RejectOnce,
            PermissionOptionKind::RejectAlways,
        ],
    };
    kinds
        .into_iter()
        .find_map(|kind| options.iter().find(|option| option.kind == kind))
}

/// What an agent is told. A turn that was stopped grants nothing any more: the protocol wants each request that is still
/// open then to be answered as cancelled. So it is where no option says what the operator does.
pub(crate) fn outcome(
    option: Option<&PermissionOption>,
    is_stopped: bool,
) -> RequestPermissionOutcome {
    match option {
        Some(option) if !is_stopped => {
            let chosen = SelectedPermissionOutcome::new(option.option_id.clone());
            RequestPermissionOutcome::Selected(chosen)
        }
        _ => RequestPermissionOutcome::Cancelled,
    }
}

/// The kind of a tool as the protocol writes it.
pub(crate) fn kind_name(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Read => "read",
        ToolKind::Edit => "edit",
        ToolKind::Delete => "delete",
        ToolKind::Move => "move",
        ToolKind::Search => "search",
        ToolKind::Execute => "execute",
        ToolKind::Think => "think",
        ToolKind::Fetch => "fetch",
        ToolKind::SwitchMode => "switch_mode",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{from_value, json};

    use super::*;

    fn permissions(json: plugin_api::serde_json::Value) -> Permissions {
        from_value(json).unwrap()
    }

    #[test]
    fn each_kind_has_its_answer() {
        let some = permissions(json!({"edit": "allow", "execute": "deny", "default": "allow"}));
        assert_eq!(some.answer(ToolKind::Edit), Answer::Allow);
        assert_eq!(some.answer(ToolKind::Execute), Answer::Deny);
        assert_eq!(some.answer(ToolKind::Other), Answer::Allow);
        let all = permissions(json!("allow"));
        assert_eq!(all.answer(ToolKind::Execute), Answer::Allow);
    }

    #[test]
    fn nothing_said_is_no_leave_to_change_anything() {
        let none = Permissions::default();
        assert_eq!(none.answer(ToolKind::Read), Answer::Allow);
        for kind in [
            ToolKind::Edit,
            ToolKind::Execute,
            ToolKind::Fetch,
            ToolKind::Other,
        ] {
            assert_eq!(none.answer(kind), Answer::Deny);
        }
        assert_eq!(permissions(json!({})).answer(ToolKind::Read), Answer::Deny);
        assert!(from_value::<Permissions>(json!({"edits": "allow"})).is_err());
    }

    #[test]
    fn once_is_chosen_before_always() {
        let options: Vec<PermissionOption> = from_value(json!([
            {"optionId": "aa", "name": "Always", "kind": "allow_always"},
            {"optionId": "ao", "name": "Once", "kind": "allow_once"},
            {"optionId": "ra", "name": "Never", "kind": "reject_always"},
        ]))
        .unwrap();
        let chosen = |answer| choose(answer, &options).map(|option| option.name.as_str());
        assert_eq!(chosen(Answer::Allow), Some("Once"));
        assert_eq!(chosen(Answer::Deny), Some("Never"));
        assert!(choose(Answer::Deny, &options[..1]).is_none());
        let told = |option, is_stopped| {
            matches!(
                outcome(option, is_stopped),
                RequestPermissionOutcome::Selected(_)
            )
        };
        let option = choose(Answer::Allow, &options);
        assert!(told(option, false) && !told(option, true) && !told(None, false));
    }
}
