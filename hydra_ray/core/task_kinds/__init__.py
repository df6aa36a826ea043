"""What each kind of task does with answers, one file a kind."""
