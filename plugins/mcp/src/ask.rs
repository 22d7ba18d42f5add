//! Requests of which the server is told when nobody waits for the answer any more.

use futures_util::FutureExt;
use plugin_api::tokio::task::coop::unconstrained;
use rmcp::ServiceError;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientRequest, RequestId, ServerResult,
};
use rmcp::service::{Peer, PeerRequestOptions, RoleClient};

/// Asks, and waits for the answer.
///
/// # Cancel safety
///
/// Dropped, it tells the server.
pub(crate) async fn ask(
    peer: &Peer<RoleClient>,
    request: ClientRequest,
) -> Result<ServerResult, ServiceError> {
    let asked = peer.send_cancellable_request(request, PeerRequestOptions::no_options());
    let mut handle = asked.await?;
    let asked = Asked::new(peer, handle.id.clone());
    let answer = (&mut handle.rx).await;
    asked.answered();
    answer.map_err(|_| ServiceError::TransportClosed)?
}

/// A request under way. Dropped before it [is answered](Self::answered), the server is told that nobody waits any more.
pub(crate) struct Asked<'a> {
    peer: &'a Peer<RoleClient>,
    /// None once it was answered.
    id: Option<RequestId>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(peer: &'a Peer<RoleClient>, id: RequestId) -> Self {
        Self { peer, id: Some(id) }
    }

    pub(crate) fn answered(mut self) {
        self.id = None;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let reason = "nobody waits for the result any more".to_owned();
        let params = CancelledNotificationParam::new(Some(id), Some(reason));
        let cancelled = CancelledNotification::new(params);
        // On its way once this was polled, which the runtime's own bound must not keep from it; that it got there nobody
        // waits for.
        let sending = self.peer.send_notification(cancelled.into());
        let _ = unconstrained(sending).now_or_never();
    }
}
