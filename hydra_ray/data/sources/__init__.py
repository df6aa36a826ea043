"""Where histories come from: LaMP's files, OPPU's, and tables."""
