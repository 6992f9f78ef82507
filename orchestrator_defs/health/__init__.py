"""Whether everything is there, what needs attention, and what a deploy would break."""
