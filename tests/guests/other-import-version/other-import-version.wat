;; Imports a host capability of a contract version that no host knows yet: refused, naming both versions.
(component
  (import "waypost:policy/random@0.2.0" (instance $random (export "below" (func (param "bound" u32) (result u32)))))
  (core module $code
    (import "host" "below" (func $below (param i32) (result i32)))
    (func (export "select") (result i32) (call $below (i32.const 2))))
  (core func $below (canon lower (func $random "below")))
  (core instance $code (instantiate $code (with "host" (instance (export "below" (func $below))))))
  (func $select (result u32) (canon lift (core func $code "select")))
  (instance $selection (export "select" (func $select)))
  (export "waypost:policy/selection@0.1.0" (instance $selection)))
