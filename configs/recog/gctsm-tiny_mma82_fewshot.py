_base_ = 'gctsm-tiny_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
