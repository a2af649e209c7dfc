"""What is worth knowing next time: notes and pieces of documents, found again by their words.

Owns notes, what may become one, where they are kept, which of several counts, and their form in a prompt.
Does not own what a session said (`sessions`, `rollouts`) nor what a prompt is for.
Invariant: nothing is remembered that looks like a secret or like an instruction to a model; nothing is handed to a
model unless somebody asked for it, and then as a fenced block; what is forgotten is gone from the file.

    notes.py    what a note is, and what may not be one (pure)
    store.py    where notes are kept, and finding them
    distill.py  notes that a session's own evidence proposes (pure)
    asked.py    notes that a read-only run proposes, held against the session
    slices.py   notes as they stand in a prompt (pure)
"""
