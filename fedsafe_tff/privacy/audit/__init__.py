"""Attacks on what a training gives away: how much of a stated guarantee an attacker can refute."""
