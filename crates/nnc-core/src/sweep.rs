//! Many independent evaluations as resumable shards.
