;; A core module, not a component: refused with a sentence that says so.
(module
  (memory (export "memory") 1)
  (func (export "select") (result i32) i32.const 0))
