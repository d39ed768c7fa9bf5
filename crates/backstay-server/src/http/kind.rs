//! Kinds of sources, storages and channels.

use axum::Json;
use axum::extract::State;
use backstay_api::types::kind::KindView;
use backstay_api::types::list::Rows;
use backstay_core::domain::channel::ChannelKind;

use super::state::ServerState;

pub(super) async fn source_kind_list(State(state): State<ServerState>) -> Json<Rows<KindView>> {
    let rows = state.source_kinds.iter().map(|kind| KindView {
        name: kind.name().to_owned(),
        description: kind.describe().to_owned(),
        schema: kind.schema(),
    });
    Json(Rows::whole(rows.collect()))
}

pub(super) async fn storage_kind_list(State(state): State<ServerState>) -> Json<Rows<KindView>> {
    let rows = state.storage_kinds.iter().map(|kind| KindView {
        name: kind.name().to_owned(),
        description: kind.describe().to_owned(),
        schema: kind.schema(),
    });
    Json(Rows::whole(rows.collect()))
}

pub(super) async fn channel_kind_list() -> Json<Rows<KindView>> {
    let rows = ChannelKind::ALL.iter().map(|kind| KindView {
        name: kind.word().to_owned(),
        description: kind.describe().to_owned(),
        schema: kind.schema(),
    });
    Json(Rows::whole(rows.collect()))
}
