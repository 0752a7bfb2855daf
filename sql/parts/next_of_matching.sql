-- What matches after the cursor, in the order asked for, one row more than the page.
(select * from matching
 where %(newest)s::boolean and (%(cursor)s::bigint is null or seq < %(cursor)s)
 order by seq desc limit %(limit)s + 1)
union all
(select * from matching
 where not %(newest)s::boolean and (%(cursor)s::bigint is null or seq > %(cursor)s)
 order by seq limit %(limit)s + 1)
