"""Deciding: pure functions and frozen values. No await, no clock, no dice, no log, no disk."""
