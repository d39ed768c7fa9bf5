//! The suite of the three stores: what a database promises to the managers.
//!
//! [`store_promises`](crate::store_promises) makes one test of each promise; an adapter gives a function that returns
//! empty [`Stores`](super::world::Stores). Rooms: `declaration`, `page` (lists of it), `queue` (in and out of it), `lease` (who holds what),
//! `turns` (whose turn it is), `why` (what is said of it), `schedule` (how far plans are, and ticks over it), `clock` (one that jumps), `starts` (many plans at once),
//! `retention` (what is kept, and prunes), `notice` (what is told), `voice` (how it is told), `ping` (signs of life), `settle` (how it ends),
//! `quota` (what has room), `retire` (what ends), `template` (what plans share), `set` (what belongs together), `follow_up` (what follows), `storage`
//! (what many repositories lie in).
//! Absent on purpose: what one database alone does (its file, its schema) is tested beside it.

pub mod declaration;
pub mod page;
pub mod lease;
pub mod queue;
pub mod turns;
pub mod why;
pub mod schedule;
pub mod clock;
pub mod starts;
pub mod retention;
pub mod proof;
pub mod notice;
pub mod voice;
pub mod ping;
pub mod settle;
pub mod quota;
pub mod retire;
pub mod template;
pub mod set;
pub mod follow_up;
pub mod storage;

/// Makes a test of each promise of the stores. Takes the path of a function `async fn() -> Stores`, or
/// `async fn() -> Option<Stores>`.
#[macro_export]
macro_rules! store_promises {
    ($make:path) => {
        $crate::store_promises! { $make;
            declaration::a_taken_name_is_refused,
            declaration::declarations_are_read_back_sorted_by_name,
            declaration::a_source_comes_with_all_its_items_or_not_at_all,
            declaration::what_a_backup_needs_is_what_its_rows_say,
            declaration::settings_of_a_source_change_as_they_were_seen,
            declaration::what_is_missing_is_named,
            page::each_row_is_on_one_page,
            page::a_page_is_cut_from_what_is_shown,
            page::all_rows_are_gone_through,
            queue::a_job_is_read_back_as_it_was_enqueued,
            queue::a_job_of_nothing_that_is_there_is_refused,
            queue::a_second_backup_of_an_item_overlaps,
            queue::a_restore_never_overlaps,
            queue::an_occurrence_has_one_job_for_ever,
            queue::only_a_queued_job_is_enqueued,
            queue::the_same_job_again_is_the_same_answer,
            queue::jobs_are_leased_by_breach_then_priority_then_age,
            queue::what_is_not_due_or_not_asked_for_is_not_leased,
            queue::lists_come_in_pages_newest_first,
            queue::a_job_that_nobody_holds_is_cancelled_with_its_event,
            queue::the_holder_of_a_job_is_asked_to_stop,
            queue::an_ended_job_cannot_be_cancelled,
            queue::waits_end_when_their_time_has_come,
            queue::a_parked_job_is_lifted_once,
            lease::claimers_never_share_a_job,
            lease::an_older_token_writes_nothing,
            lease::a_token_that_was_never_given_writes_nothing,
            lease::an_ended_heartbeat_is_not_revived,
            lease::an_ended_heartbeat_writes_nothing,
            lease::a_retired_agent_loses_its_leases,
            lease::only_progress_that_differs_keeps_the_stall_limit_away,
            lease::a_live_lease_is_not_rescued,
            lease::a_rescue_counts_and_leads_only_where_the_table_does,
            lease::a_checkpoint_outlives_its_attempt_and_not_its_job,
            lease::standings_are_told_in_the_order_asked,
            lease::a_repository_held_alone_is_shared_with_nobody,
            lease::one_claim_does_not_mix_alone_and_shared,
            lease::who_waits_to_be_alone_gets_its_turn,
            lease::what_an_agent_does_not_name_is_lost,
            turns::rules_are_read_back_and_changed_by_one,
            turns::caps_hold_whoever_claims,
            turns::tenants_take_turns_by_their_shares,
            turns::nobody_waits_behind_what_is_full,
            turns::each_of_many_tenants_gets_its_turn,
            turns::the_queue_is_looked_at_from_its_beginning,
            turns::who_is_kept_from_one_repository_is_seen_at_another,
            why::an_explanation_says_what_a_lease_does,
            why::a_job_that_no_agent_takes_waits_for_one,
            why::a_job_beside_its_overlap_key_or_a_full_host_waits,
            why::a_window_holds_schedules_and_not_what_is_queued,
            why::a_search_that_ends_early_is_said,
            schedule::a_plan_is_due_when_it_is_made_and_when_it_changes,
            schedule::what_is_due_comes_longest_due_first,
            schedule::of_two_writers_one_writes,
            schedule::an_occurrence_that_waits_is_read_back,
            schedule::windows_are_read_back_until_they_are_over,
            schedule::backups_of_one_key_run_one_at_a_time,
            schedule::a_night_makes_each_job_once,
            schedule::what_was_missed_is_made_up_for_once,
            schedule::a_paused_plan_is_skipped_and_told,
            schedule::a_window_holds_starts_back,
            schedule::a_window_that_is_gone_holds_nothing_for_long,
            schedule::one_that_meets_its_own_work_is_skipped_item_by_item,
            schedule::one_that_meets_another_plan_waits_and_is_skipped_once,
            schedule::two_plans_of_one_item_take_turns,
            schedule::a_clock_that_goes_back_holds_nothing_back,
            clock::what_a_clock_dated_in_the_future_is_brought_nearer,
            clock::a_process_that_begins_sees_that_the_clock_went_back,
            clock::a_step_that_several_see_is_made_once,
            clock::a_day_that_is_jumped_over_is_made_up_for_once,
            queue::a_restore_comes_before_what_is_late,
            starts::starts_are_written_together,
            starts::starts_in_somebodys_way_write_nothing,
            starts::items_of_plans_come_with_their_newest_good,
            starts::one_in_the_way_holds_nobody_else_up,
            retention::what_was_forgotten_is_shown_no_more,
            retention::nothing_is_held_while_a_prune_has_its_list,
            retention::a_repository_is_looked_at_when_it_is_due,
            retention::a_prune_forgets_what_nothing_keeps,
            retention::a_prune_that_is_tried_again_doubts_what_stays,
            retention::a_suspected_plan_keeps_everything_until_it_is_cleared,
            retention::what_one_plan_keeps_stays,
            retention::what_was_forgotten_is_not_to_be_read,
            retention::what_a_prune_that_has_begun_forgets_is_refused,
            proof::a_proof_moves_from_where_it_was_seen,
            proof::a_slice_that_was_read_is_written_with_its_job,
            proof::a_budget_begins_its_time_anew,
            proof::a_budget_has_every_slice_read_once,
            proof::a_slice_is_asked_for_once,
            proof::harm_and_what_was_not_proved_are_told,
            proof::what_needs_no_proof_is_left_alone,
            notice::channels_are_read_back_and_names_are_their_owners,
            notice::a_decision_is_written_as_a_whole_or_not_at_all,
            notice::of_many_claimers_one_has_a_message,
            notice::a_channel_that_is_removed_gives_its_messages_up,
            notice::a_new_event_is_one_that_was_not_taken_in,
            notice::items_of_a_plan_are_watched_from_its_beginning,
            notice::a_window_is_over_once,
            notice::what_a_tenant_stores_is_what_was_not_forgotten,
            voice::an_item_without_a_snapshot_is_told_and_its_recovery_too,
            voice::a_look_costs_what_is_due,
            voice::a_paused_plan_raises_no_alarm_and_is_named,
            voice::a_plan_with_another_repository_has_its_time,
            voice::what_will_be_too_late_is_told_before,
            voice::what_is_in_work_or_in_the_queue_counts,
            voice::another_plan_of_the_item_says_nothing_of_how_long_it_takes,
            voice::events_are_told_once_whoever_follows,
            voice::a_warning_ends_with_a_success_without_one,
            voice::a_skipped_start_of_a_plan_ends_with_its_next_backup,
            voice::what_is_told_often_is_held_back_and_counted,
            voice::what_a_person_says_of_an_alert_counts,
            voice::a_quota_that_fills_up_is_told_once_a_step,
            voice::a_quota_that_fills_up_again_is_told_again,
            voice::a_digest_is_made_once_a_window,
            voice::a_message_is_tried_until_it_is_given_up,
            ping::a_ping_channel_hears_each_result_of_its_plan,
            ping::a_plan_of_several_items_is_well_when_all_are,
            ping::a_dead_channel_has_one_ping_that_waits,
            ping::a_beginning_is_told_once_and_never_in_the_place_of_a_result,
            settle::rows_come_with_the_settlement_and_only_then,
            settle::a_refused_row_takes_the_whole_settlement_back,
            settle::evidence_goes_to_the_end_of_its_chain_only,
            settle::a_settlement_must_be_a_move,
            settle::a_wait_is_counted_by_the_stores_clock,
            settle::what_a_replica_writes_is_dated_by_the_stores_clock,
            settle::a_snapshot_is_not_older_than_its_job,
            settle::a_snapshot_is_not_of_the_future,
            settle::what_is_told_of_a_job_lies_where_its_log_looks,
            settle::the_newest_good_snapshot_is_not_a_partial_one,
            settle::a_confirmation_is_of_a_good_snapshot_that_is_there,
            settle::what_is_found_gets_a_row_once,
            settle::a_snapshot_of_the_future_does_not_count_yet,
            settle::every_state_is_read_back,
            settle::attempts_tell_how_they_ended,
            settle::unread_entries_are_those_of_the_newest_attempt,
            retire::the_name_of_what_is_retired_is_free,
            retire::what_a_plan_needs_is_not_retired,
            retire::nothing_new_is_made_of_what_is_retired,
            retire::what_waits_is_cancelled_and_what_runs_goes_on,
            retire::snapshots_of_a_retired_plan_stay,
            retire::a_retired_plan_raises_no_alarm,
            set::what_is_asked_for_together_is_one_set,
            set::a_single_job_is_no_set,
            follow_up::what_follows_is_queued_once_with_the_end,
            follow_up::a_set_is_followed_when_it_is_complete,
            follow_up::what_cannot_follow_is_told,
            follow_up::plans_follow_in_no_circle,
            storage::a_storage_stays_while_repositories_live_in_it,
            template::templates_are_read_back_and_stand_above_one_another,
            template::a_change_of_a_template_moves_all_plans_under_it,
            template::a_plan_never_has_the_values_of_a_template_of_before,
            quota::a_quota_is_read_back_and_lifted,
            quota::what_is_stored_follows_backups_and_prunes,
            quota::a_sum_never_refuses_a_result,
            quota::a_backup_without_room_never_starts,
            quota::what_has_room_starts_beside_what_has_none,
            settle::events_are_chained_without_a_gap_whoever_writes,
        }
    };
    ($make:path; $($room:ident :: $promise:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $promise() {
            // None: the database is not to be had here, which was told.
            if let Some(stores) = Option::<$crate::conformance::world::Stores>::from($make().await) {
                $crate::conformance::store::$room::$promise(stores).await;
            }
        }
    )+};
}
