"""Energy where a meter measured it: samples, their time against the board's, and what each pass cost."""
