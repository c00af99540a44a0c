"""From an article record to a confirmed message: ``message`` decides what is said, ``broker`` says it."""
