//! Cottontail turns a RabbitMQ exchange into Server-Sent Events.
//!
//! This page is the map of the code; what the program promises to its users is in README.md.
//!
//! # A delivery to N browsers
//!
//! ```text
//! RabbitMQ ─▶ broker: link, session ─▶ decode ─▶ routing: MappingTable ─▶ hub: Publisher ─▶ acknowledge
//!                                                                              │
//!                      one frame, encoded once ─▶ the ring; the inbox of each shard that has a receiver
//!                                                                                     │
//!                                  each worker's turn ─▶ its subscribers' queues ─▶ sockets
//! ```
//!
//! A message goes from the consumer to the hub in one synchronous chain ([`broker::Pipeline`]), and is dealt with when the
//! chain returns. [`routing::MappingTable`] makes events of it, [`hub::Publisher`] gives each one its place in the order,
//! keeps it in the ring of recent events and hands it to the shards, one a worker thread. A shard puts a handle of the frame
//! into the queue of every stream that it is for. A full queue ends its stream and nobody else's; a full inbox
//! makes the link wait before it takes the next message.
//!
//! # A browser's request
//!
//! A worker accepts the connection, encrypted if [`server::Tls`] is configured, and keeps it to its end; hyper reads the
//! request. The path names an endpoint or nothing; [`auth::credentials`] finds the token, [`auth::Authenticator`] makes an
//! [`auth::Identity`] of it (after [`provider::Keys`] has asked its issuer for newer keys, if it names one that is not
//! here); without a token [`provider::session::Sessions`] asks the application, where that is configured. From the identity
//! and the query comes a [`hub::Subscription`], which holds nothing that is not granted.
//! [`hub::Shard::subscribe`] decides under one lock what is replayed and from where on the stream is live, so that no event
//! is missed in between and none comes twice. Over HTTP/1.1 the shard as a rule takes the socket over and writes the stream
//! itself, to a [`hub::Outlet`]; otherwise the stream is a body that hyper reads. Whatever ends a stream, its place in the
//! shard goes with it.
//!
//! # A request for the application
//!
//! A path that is no endpoint's goes to [`proxy::Proxy::forward`], of which each worker has one with connections of its own:
//! the head is cleaned of what concerns one connection only and says from whom it comes, the bodies pass through piece by
//! piece. A connection that leaves HTTP, or a stream of one that speaks HTTP/2, becomes a [`proxy::Tunnel`], which the worker
//! carries in its place.
//!
//! # What reaches a stream that is open
//!
//! A new token, a logout, a session that the application has ended, a new configuration: each is an order
//! ([`hub::Orders`]) that every shard carries out on its own thread, a slice a turn. It looks at what the stream rests on
//! ([`hub::Standing`]) and keeps it, gives it other audiences or ends it. [`app::Reloader`] takes another configuration over:
//! first the binding keys, then the mappings, the limits and the site that answers requests, and last the open streams.
//!
//! # The end
//!
//! [`app::App::stop`]: not ready, then no new connections, then the streams in batches over the drain window, then what is
//! under way, then the source, which goes on until the last stream has ended. The grace time bounds all of it. The part that
//! concerns streams may have been begun before, by `POST /drain` ([`shutdown::DrainHandle`]).
//!
//! # What there is not
//!
//! - A second publisher: [`hub::Publisher`] is no `Clone`, so events have one order.
//! - An event that is encoded for a subscriber: its frame is made once and shared, in the ring as in every queue.
//! - A queue without a bound: of messages, of events, of bytes, of streams, of headers. What is beyond a bound waits, is
//!   refused or is cut off, and is counted.
//! - A lock that is held over an `await`, or a publisher that waits for a browser.
//! - A word of [`broker`] in [`server`] or the other way round: they meet in the hub, and [`app`] alone knows both.
//! - A clock or a socket in [`routing`], [`sse`], [`auth`] and [`hub`]: the time is passed in.
//! - A silent gap on Cottontail's side: what it cannot prove to be whole it announces. (What RabbitMQ drops from a queue that
//!   is over its limit, RabbitMQ tells nobody.)
//! - A request to an address that a token names.
//! - A token, a secret or a message's body in an error or a log line.
//! - `unsafe`, or a panic that input can reach.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | delivery, message | what the AMQP library hands over; what is left of it for the mappings ([`event::Message`]) |
//! | mapping | a rule: a routing-key pattern with captures, and what becomes of a message that it matches |
//! | binding key | what AMQP is told of a mapping's pattern: `user.*.#` for `user.{user}.#` |
//! | audience | to whom an event goes: a user, a channel, or everyone |
//! | channel | a named group of events that a browser may subscribe to; an AMQP channel is a `lapin::Channel` |
//! | event | audiences, name and data; with an id once it is published |
//! | frame | an event, or another block of the stream, as bytes |
//! | subscription, subscriber | what a stream may and wants to see; the open stream itself |
//! | credentials, identity | a token or a machine's key that nobody has verified; who its bearer is, once it is |
//! | session | what a request brings along by which the application knows its user: its cookie and `Authorization` |
//! | grant | a channel, or a pattern of channels, that an identity may see |
//! | order, verdict | what is asked of open streams; what becomes of one of them |
//! | position, mark, id | a place in a history's order; what tells it from that place in another; both together |
//! | history, ring, replay | the events that are kept; where they are kept in memory; the part after an id |
//! | gap | what a subscriber missed, or may have, and cannot be given any more |
//! | lagged | cut off because its queue was full |
//! | worker, shard | a thread with its connections; its part of the hub |
//! | drain | a graceful end |
//!
//! # Modules
//!
//! The first five use no other module; each later one uses only modules above it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`event`] | users, channels, audiences, events, positions and ids |
//! | [`setting`] | the types of settings (durations, secrets) and the fault that names one |
//! | [`shutdown`] | the signals, and the drain that waits for those who still work |
//! | [`topic`] | AMQP topic patterns |
//! | [`trust`] | the certificate authorities that TLS believes |
//! | [`telemetry`] | logging, the spans of traces, and every metric with a function for each thing that happens |
//! | [`proxy`] | from a request to the application's response: header hygiene, connections, tunnels |
//! | [`auth`] | from a request's token to an identity with its grants |
//! | [`routing`] | from a message to events for audiences |
//! | [`sse`] | the bytes of an event stream |
//! | [`explain`] | why somebody would get the events of a message, or not |
//! | [`provider`] | what others are asked about identities, with a socket and a clock |
//! | [`hub`] | who gets what: the publisher, the ring, the shards and their subscribers |
//! | [`control`] | orders: ending streams, revoking tokens, recalling what is remembered of sessions |
//! | [`broker`] | the link to RabbitMQ, the exchange of `dev`, the pipeline that both feed, and messages about presence |
//! | [`server`] | HTTP and TLS: workers, endpoints, refusals, CORS, the admin listener |
//! | [`config`] | all sections together: loading, checking, and where each setting was written |
//! | [`app`] | wiring: what is built from a configuration, started and ended |
//! | [`cli`] | the command line and the commands besides `run` |

pub mod event;
pub mod setting;
pub mod shutdown;
pub mod topic;
pub mod trust;

pub mod telemetry;

pub mod auth;
pub mod proxy;
pub mod routing;
pub mod sse;

pub mod explain;
pub mod provider;

pub mod hub;

pub mod control;

pub mod broker;
pub mod server;

pub mod config;

pub mod app;

pub mod cli;

/// In place of the C library's, since musl's has one lock for all threads; here, so that the benchmark measures it too.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
