"""The synthetic world: users whose private taste cannot be read off a text, in LaMP's layout and readable English."""
