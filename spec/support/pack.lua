-- A table of all its arguments, nils too, and their number as `n`.
return function(...)
  return { n = select("#", ...), ... }
end
