//! The whole program from outside: a real RabbitMQ, the built binary, and clients that share no code with it.
//!
//! What bad input gets, and the tests that say so; `broker::` is the binary beside this one, the rest is here:
//!
//! | what | answer | tests |
//! |---|---|---|
//! | a fault of the configuration | exit code 2, all faults listed, nothing started | `command_line::a_faulty_configuration_exits_with_2_names_every_fault_and_starts_nothing`, `command_line::a_missing_configuration_and_an_unknown_flag_exit_with_2` |
//! | a broker that is away at the start | starts, keeps trying, `amqp_connected 0` | `outage::a_broker_that_is_away_at_the_start_takes_no_stream_away` |
//! | a broker that goes away later | streams stay open and hear of the gap | `outage::streams_outlive_the_broker_and_hear_of_the_gap`, all of `broker::outage` |
//! | a missing exchange | a sentence that names `broker.exchange`; keeps trying | `outage::what_the_operator_must_change_is_named`, `broker::refusal::a_missing_exchange_is_waited_for` |
//! | a wrong password or vhost | a sentence that names `broker.urls`; keeps trying | `outage::what_the_operator_must_change_is_named`, `broker::refusal::a_wrong_password_and_a_wrong_vhost_are_told_apart` |
//! | a refused permission | a sentence that names the right | `broker::refusal::a_lacking_right_is_named` |
//! | a poison message | counted by reason, logged at a limited rate, acknowledged; the rest goes on | `delivery::a_poison_message_is_counted_once_and_stops_nobody`, `broker::outage::a_message_that_cannot_be_read_costs_a_reconnection_and_nothing_more` |
//! | a browser that does not read | cut off when its queue is full; resumes from history | `lagging::a_browser_that_does_not_read_is_cut_off_alone_and_loses_nothing` |
//! | a header, token or query that is too long, too many channels | refused by a limit | `refusals::what_is_too_long_is_refused_by_a_limit_and_the_next_request_is_served` |
//! | too many streams, or streams and events that come too fast | a stream that only says when to come back, or the status that was asked for | all of `limits`, `drain::until_others_have_noticed_a_new_stream_is_told_to_come_back` |
//! | a message that is too large | counted as `too_large`; the rest goes on | `delivery::a_poison_message_is_counted_once_and_stops_nobody` |
//! | a last event id that is forged or foreign | a gap before anything live | `resuming::an_id_of_another_history_is_answered_with_a_gap_before_anything_live` |
//! | a token that does not count | 401, never quoted | `refusals::a_token_that_does_not_count_is_refused_with_invalid_token`, all of `secrecy` |
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

#[allow(dead_code, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support/mod.rs"]
mod support;

mod scenario;

mod admin;
mod api_keys;
mod channels;
mod command_line;
mod delivery;
mod dev;
mod drain;
mod drain_command;
mod explain;
mod exposition;
mod http2;
mod lagging;
mod limits;
mod native_browser;
mod orders;
mod origins;
mod outage;
mod presence;
mod refusals;
mod reload;
mod renewal;
mod resuming;
mod secrecy;
mod sessions;
mod sockets;
mod stream_response;
mod workers;
