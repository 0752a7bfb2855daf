              -- The words of a row's columns and of its details, without sealed texts and JSON's escapes; punctuation
              -- only separates.
              to_tsvector('simple', left(regexp_replace(
                  concat_ws(' ', event_type, entity_type, entity_id, outcome, user_agent,
                            substring(convert_from(entry, 'UTF8') from '"details":(.*),"entity_id":')) collate "C",
                  'v1\.[\w-]{40,}\.[\w-]{43}|\\u[0-9a-f]{4}|\\.|[-.:/_@#$%%&=+?!"''(){}\[\],;<>|*]+', ' ', 'g'), 100000))
