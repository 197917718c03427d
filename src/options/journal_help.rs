//! The output of `firstline journal --help`.

/// The help of `firstline journal`. Each line ends with LF.
pub fn help() -> String {
    TEXT.to_string()
}

const TEXT: &str = "\
Usage: firstline journal DIR [--since ID] [--last N] [--min P] [--follow]
                         [--json]
       firstline journal DIR --check
       firstline journal DIR --resize BYTES

Prints the messages in the journal DIR, the oldest first, while a server may
write to it: TIME MSG ID pP FROM TEXT, with the time in UTC by the board's clock
when the message was processed, and the rest as clients are sent it.
  - LOST K         K messages are not in the journal: newer ones took their
                   place, or it is damaged, which standard error tells
  - WITHDRAWN ID   the disk failed, so the server refused the messages from ID
                   on that were just printed; others get these IDs, and follow

  --since ID    only the messages after the one with this ID; if no message has
                it yet, standard error says so, and only new ones are printed
  --last N      only the last N of the chosen messages; N has no upper limit.
                With --follow, then the new ones
  --min P       only messages of priority P, 0 to 9, or higher: with --last the
                last N of those. LOST counts messages of any priority
  --follow      then print new messages as they come, also after a --resize.
                It ends on Ctrl-C, when its output is closed, or when another
                journal takes the place of this one (exit status 1)
  --json        one JSON object a line: id, time, time_ms, priority, from, text.
                Where the text is not UTF-8, text_base64 has its bytes, and text
                has U+FFFD in their places. {\"lost\":K} and {\"withdrawn\":ID} too
  --check       verify all records; print what each file holds, and the
                identity: a number that tells this journal from all others
  --resize BYTES  carry the history over to another --journal-size, 1M to 8G,
                while no server writes to it. A new journal is written beside
                the old one, which takes that much room meanwhile, and replaces
                it when it is whole. In a smaller one the newest are kept.
                Standard error tells what is damaged and left out. Without room
                for the new one nothing changes
  -h, --help    print this

Exit status:
  0      all is well
  1      something is damaged or left out, or there is no journal
  2      a wrong option
";
