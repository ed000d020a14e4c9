"""Validity checks of live data: the rules, the login they run under, and what runs them."""
